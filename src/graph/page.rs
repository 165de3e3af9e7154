//! Collections that come in pages.

use serde_json::Value;
use url::Url;

use super::call::Call;
use super::client::Client;
use super::error::{ErrorClass, GraphError};

/// One page of a collection. A page may be empty and still have a successor.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The objects on it.
    pub value: Vec<Value>,
    /// `@odata.nextLink`: there is more. Verbatim.
    pub next: Option<String>,
    /// `@odata.deltaLink`: the round is complete. Verbatim.
    pub delta: Option<String>,
}

/// Where a delta feed goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Onward {
    /// With the next page of this round.
    More(String),
    /// With the next round.
    Done(String),
}

impl Listing {
    /// Where a delta feed goes on after this page; `route` is what it was asked with.
    ///
    /// # Errors
    /// `Transient`: the page has neither link.
    pub fn onward(&self, route: &str) -> Result<Onward, GraphError> {
        match (&self.next, &self.delta) {
            (Some(next), _) => Ok(Onward::More(next.clone())),
            (None, Some(delta)) => Ok(Onward::Done(delta.clone())),
            (None, None) => {
                let what = "the last page has no delta link";
                Err(GraphError::local(ErrorClass::Transient, route, what))
            }
        }
    }
}

impl Client {
    /// One page. Links in it are checked: one that leads away from Graph is an error now, before
    /// anybody stores it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn page(&self, call: &Call) -> Result<Listing, GraphError> {
        let mut body = self.json(call).await?;
        let value = match body["value"].take() {
            Value::Array(value) => value,
            _ => {
                return Err(GraphError::local(
                    ErrorClass::Network,
                    call.label(),
                    "the answer is not a collection",
                ));
            }
        };
        let link = |name: &str| -> Result<Option<String>, GraphError> {
            let Some(link) = body[name].as_str().filter(|l| !l.is_empty()) else {
                return Ok(None);
            };
            match self.is_own_link(link) {
                true => Ok(Some(link.to_owned())),
                false => Err(GraphError::local(
                    ErrorClass::Ours,
                    call.label(),
                    format!("{name} of the answer leads away from Graph: it is not followed"),
                )),
            }
        };
        let (next, delta) = (link("@odata.nextLink")?, link("@odata.deltaLink")?);
        Ok(Listing { value, next, delta })
    }

    /// True for a link that leads to Graph itself.
    pub fn is_own_link(&self, link: &str) -> bool {
        Url::parse(link).is_ok_and(|url| self.endpoints().is_graph(&url))
    }

    /// All pages of a collection, `at_most` objects of it. Headers of `call` go on every page.
    ///
    /// # Errors
    /// As [`Client::send`]; `TooLarge` beyond `at_most`.
    pub async fn pages(&self, call: Call, at_most: usize) -> Result<Vec<Value>, GraphError> {
        let mut all = Vec::new();
        let mut call = call;
        // An endless chain of empty pages ends here.
        for _ in 0..100_000 {
            let page = self.page(&call).await?;
            all.extend(page.value);
            if all.len() > at_most {
                return Err(GraphError::local(
                    ErrorClass::TooLarge,
                    call.label(),
                    format!("more than {at_most} objects"),
                ));
            }
            match page.next {
                Some(next) => call.target = super::call::Target::Link(next),
                None => return Ok(all),
            }
        }
        Err(GraphError::local(
            ErrorClass::Ours,
            call.label(),
            "the pages never end",
        ))
    }
}
