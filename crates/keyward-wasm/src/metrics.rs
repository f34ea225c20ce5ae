//! Metrics that plugins define.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::abi::Status;
use crate::limits::Limits;

/// One metric of a plugin, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As the plugin named it: visible ASCII.
    pub name: String,
    /// What it is, and its value.
    pub value: MetricValue,
}

/// What a metric is, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricValue {
    /// Only grows.
    Counter(u64),
    /// Goes up and down, not below zero.
    Gauge(u64),
    /// Many values: how many there were, and their sum.
    Histogram {
        /// How many values were recorded.
        count: u64,
        /// Their sum.
        sum: u64,
    },
}

#[derive(Default)]
pub(crate) struct Metrics(Mutex<Vec<Metric>>);

impl Metrics {
    /// Defines a metric, or finds the one of that name and kind.
    pub(crate) fn define(&self, kind: u32, name: &str, limits: &Limits) -> Result<u32, Status> {
        let value = match kind {
            0 => MetricValue::Counter(0),
            1 => MetricValue::Gauge(0),
            2 => MetricValue::Histogram { count: 0, sum: 0 },
            _ => return Err(Status::BadArgument),
        };
        let mut metrics = self.lock();
        if let Some(at) = metrics.iter().position(|metric| metric.name == name) {
            let same = metrics.get(at).is_some_and(|known| same_kind(known.value, value));
            return if same { id_of(at) } else { Err(Status::BadArgument) };
        }
        if metrics.len() >= limits.metrics_max {
            return Err(Status::InternalFailure);
        }
        metrics.push(Metric { name: name.to_owned(), value });
        id_of(metrics.len() - 1)
    }

    /// Sets a gauge; records a value in a histogram; raises a counter to the value.
    pub(crate) fn record(&self, id: u32, to: u64) -> Result<(), Status> {
        self.change(id, |value| match value {
            MetricValue::Counter(now) if to < *now => Err(Status::BadArgument),
            MetricValue::Counter(now) | MetricValue::Gauge(now) => {
                *now = to;
                Ok(())
            }
            MetricValue::Histogram { count, sum } => {
                *count = count.saturating_add(1);
                *sum = sum.saturating_add(to);
                Ok(())
            }
        })
    }

    /// Changes a counter or gauge by `delta`.
    pub(crate) fn increment(&self, id: u32, delta: i64) -> Result<(), Status> {
        self.change(id, |value| match value {
            MetricValue::Counter(_) if delta < 0 => Err(Status::BadArgument),
            MetricValue::Counter(now) | MetricValue::Gauge(now) => {
                *now = now.saturating_add_signed(delta);
                Ok(())
            }
            MetricValue::Histogram { .. } => Err(Status::BadArgument),
        })
    }

    /// The value of a counter or gauge.
    pub(crate) fn get(&self, id: u32) -> Result<u64, Status> {
        let mut found = Err(Status::NotFound);
        self.change(id, |value| {
            found = match value {
                MetricValue::Counter(now) | MetricValue::Gauge(now) => Ok(*now),
                MetricValue::Histogram { .. } => Err(Status::BadArgument),
            };
            Ok(())
        })?;
        found
    }

    pub(crate) fn list(&self) -> Vec<Metric> {
        self.lock().clone()
    }

    fn change(
        &self,
        id: u32,
        change: impl FnOnce(&mut MetricValue) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1)).ok_or(Status::NotFound)?;
        change(&mut self.lock().get_mut(at).ok_or(Status::NotFound)?.value)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Metric>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_kind(a: MetricValue, b: MetricValue) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

/// Ids begin at 1, so that 0 is none.
fn id_of(at: usize) -> Result<u32, Status> {
    u32::try_from(at + 1).map_err(|_| Status::InternalFailure)
}
