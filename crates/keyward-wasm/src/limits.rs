//! What a plugin may use. Every bound has a default that suits a small filter; the owner of a node may set others.

use std::time::Duration;

/// Bounds of one plugin. Times are of the wall, sizes in bytes, counts per instance unless said otherwise.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of the module's file.
    pub module_bytes_max: usize,
    /// Linear memory of an instance.
    pub memory_bytes_max: usize,
    /// Elements of all tables of an instance.
    pub table_elements_max: usize,
    /// Instructions (roughly) that one callback may take.
    pub fuel_per_event: u64,
    /// Instructions (roughly) that starting an instance may take, in each of its callbacks.
    pub fuel_at_start: u64,
    /// Time that one callback may take.
    pub event_time_max: Duration,
    /// Time that each callback of starting an instance may take.
    pub start_time_max: Duration,
    /// Time that a request may be paused by the plugin.
    pub pause_time_max: Duration,
    /// Time that the plugin may take to end, after it was let go; also that a request may stay after its `proxy_on_done`.
    pub end_time_max: Duration,
    /// Events that wait for one worker; one more is answered at once.
    pub queue_max: usize,
    /// Requests that one worker has begun and not ended.
    pub streams_max: usize,
    /// Pairs of one header map.
    pub headers_max: usize,
    /// Names and values of one header map.
    pub header_bytes_max: usize,
    /// A body that the plugin writes, of a request, response, local reply or call-out.
    pub body_bytes_max: usize,
    /// One line in the log.
    pub log_bytes_max: usize,
    /// Lines in the log, per second; as many may come at once.
    pub logs_per_second: u32,
    /// Entries of shared data, of all plugins with the same `vm_id`.
    pub shared_entries_max: usize,
    /// Names and values of shared data, and items of shared queues, of all plugins with the same `vm_id`.
    pub shared_bytes_max: usize,
    /// Shared queues, of all plugins with the same `vm_id`.
    pub queues_max: usize,
    /// Items of one shared queue.
    pub queue_items_max: usize,
    /// Metrics, of all plugins with the same `vm_id`.
    pub metrics_max: usize,
    /// Length of a metric's name.
    pub metric_name_max: usize,
    /// HTTP calls in flight.
    pub calls_max: usize,
    /// Time that an HTTP call may take, whatever the plugin asks for.
    pub call_time_max: Duration,
    /// Answer of an HTTP call: its headers, body and trailers.
    pub call_answer_bytes_max: usize,
    /// The least time between two ticks.
    pub tick_min: Duration,
    /// Properties that the plugin sets on one request.
    pub properties_max: usize,
    /// Names and values of these.
    pub property_bytes_max: usize,
    /// Instances that may be made anew in a second after traps; as many may be made at once.
    pub restarts_per_second: u32,
    /// Wait after an instance could not be started; it doubles with each further failure, sixteenfold at most.
    pub restart_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes_max: 16 << 20,
            memory_bytes_max: 64 << 20,
            table_elements_max: 100_000,
            fuel_per_event: 500_000_000,
            fuel_at_start: 5_000_000_000,
            event_time_max: Duration::from_millis(500),
            start_time_max: Duration::from_secs(5),
            pause_time_max: Duration::from_secs(10),
            end_time_max: Duration::from_secs(5),
            queue_max: 1024,
            streams_max: 10_000,
            headers_max: 200,
            header_bytes_max: 64 << 10,
            body_bytes_max: 4 << 20,
            log_bytes_max: 4096,
            logs_per_second: 100,
            shared_entries_max: 10_000,
            shared_bytes_max: 16 << 20,
            queues_max: 16,
            queue_items_max: 1024,
            metrics_max: 256,
            metric_name_max: 128,
            calls_max: 64,
            call_time_max: Duration::from_secs(30),
            call_answer_bytes_max: 1 << 20,
            tick_min: Duration::from_millis(10),
            properties_max: 64,
            property_bytes_max: 16 << 10,
            restarts_per_second: 200,
            restart_wait: Duration::from_secs(1),
        }
    }
}
