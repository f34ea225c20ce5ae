//! A browser, as far as signing in goes: a jar of cookies per site, redirects that are followed, forms that are filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::client::{self, Answer};
use crate::request::Request;

/// One person's browser.
#[derive(Debug, Default)]
pub struct Browser {
    /// Where the sites are; one that is not here stands at the address that its name says.
    sites: BTreeMap<String, SocketAddr>,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Where it is.
    pub at: String,
}

/// Most redirects in a row.
const REDIRECTS_MAX: usize = 20;

impl Browser {
    /// One that finds this site at this address.
    pub fn new(site: &str, address: SocketAddr) -> Self {
        Self { sites: BTreeMap::from([(site.to_owned(), address)]), ..Self::default() }
    }

    /// Opens an address, and goes wherever it is sent.
    ///
    /// # Panics
    /// If there is no answer, or no end.
    pub async fn open(&mut self, url: &str) -> Answer {
        let mut answer = self.visit(url).await;
        for _ in 0..REDIRECTS_MAX {
            match redirect(&answer) {
                Some(to) => answer = self.visit(&resolved(&self.at, to)).await,
                None => return answer,
            }
        }
        panic!("redirected without end: {}", self.at);
    }

    /// Opens an address, and stays there.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn visit(&mut self, url: &str) -> Answer {
        self.send(url, |request| request).await
    }

    /// Fills in the only form of this page, which is the one it is at, and goes wherever that leads.
    ///
    /// # Panics
    /// If there is no form.
    pub async fn submit(&mut self, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let text = page.text();
        let action = between(&text, "action=\"", "\"").expect("a form").replace("&amp;", "&");
        let hidden = text.split("<input").filter(|input| input.contains("type=\"hidden\""));
        let hidden = hidden.filter_map(|input| {
            Some((between(input, "name=\"", "\"")?, between(input, "value=\"", "\"").unwrap_or_default()))
        });
        let given = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body =
            hidden.chain(given).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let to = resolved(&self.at, &action);
        let answer = self.send(&to, |request| {
            request.method("POST").header("Content-Type", "application/x-www-form-urlencoded").body(body)
        });
        let answer = answer.await;
        match redirect(&answer).map(str::to_owned) {
            Some(to) => self.open(&resolved(&self.at, &to)).await,
            None => answer,
        }
    }

    /// A cookie of this site.
    pub fn cookie(&self, site: &str, name: &str) -> Option<&str> {
        self.cookies.get(site)?.get(name).map(String::as_str)
    }

    /// Has this cookie from now on, wherever it got it from.
    pub fn set_cookie(&mut self, site: &str, name: &str, value: &str) {
        self.cookies.entry(site.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    async fn send(&mut self, url: &str, as_this: impl FnOnce(Request) -> Request) -> Answer {
        let (site, target) = split(url);
        let address = self.sites.get(&site).copied().unwrap_or_else(|| site.parse().expect(url));
        let mut request = as_this(
            Request::get(&site, &target).header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        );
        let jar = self.cookies.entry(site).or_default();
        if !jar.is_empty() {
            let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("Cookie", &pairs.join("; "));
        }
        let answer = client::call(address, &request).await.expect(url);
        let lines = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        for (_, line) in lines {
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            match value {
                "" => drop(jar.remove(name)),
                value => drop(jar.insert(name.to_owned(), value.to_owned())),
            }
        }
        self.at = url.to_owned();
        answer
    }
}

/// Where an answer sends a browser, if it does.
pub fn redirect(answer: &Answer) -> Option<&str> {
    answer.header("location").filter(|_| matches!(answer.status, 301..=303))
}

/// A parameter of an address' query, decoded.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut decoded = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0.to_owned())
}

/// Host and port, and what stands in the request line.
fn split(url: &str) -> (String, String) {
    let rest = url.split_once("://").expect(url).1;
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (site, target) = rest.split_at(end);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    (site.to_owned(), target)
}

fn resolved(at: &str, to: &str) -> String {
    if to.contains("://") {
        return to.to_owned();
    }
    let (scheme, rest) = at.split_once("://").expect("an address");
    let site = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{site}{to}")
}
