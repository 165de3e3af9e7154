//! Photos, looked ahead for: contents are asked for one by one, and a batch brings twenty.
//!
//! What a feed told is remembered in the order in which contents will be asked for. The first one
//! asked for brings the next nineteen with it, and these wait until they are asked for in turn. Bounded:
//! what nobody asks for is forgotten.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;

use super::Contacts;
use crate::format::vcf::{MAX_PHOTO, Photo, image_type};
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Part};
use crate::workload::Account;

const PHOTO: &str = "/users/{user}/contacts/{contact}/photo/$value";

/// Contacts of a mailbox that are remembered as told.
const MAX_TOLD: usize = 4_000;
/// Bytes of photos of a mailbox that wait to be asked for.
const MAX_WAITING: usize = 16 << 20;

/// What of a contact's photo is known: there may be none.
pub(super) type Looked = Result<Option<Photo>, GraphError>;

/// Look-ahead of all mailboxes.
#[derive(Default)]
pub(super) struct Photos {
    users: Mutex<HashMap<String, Arc<Turn<Ahead>>>>,
}

#[derive(Default)]
struct Ahead {
    /// Told, and not asked for yet.
    told: VecDeque<String>,
    /// Brought, and not asked for yet.
    ready: HashMap<String, Looked>,
    waiting: usize,
}

impl Ahead {
    fn take(&mut self, id: &str) -> Option<Looked> {
        let found = self.ready.remove(id)?;
        self.waiting -= size(&found);
        Some(found)
    }

    fn keep(&mut self, id: String, photo: Looked) {
        self.waiting += size(&photo);
        if self.waiting > MAX_WAITING {
            // Nobody seems to want them; whoever does asks again.
            self.ready.clear();
            self.waiting = size(&photo);
        }
        self.ready.insert(id, photo);
    }

    /// `id`, and those that will be asked for next.
    fn batch(&mut self, id: &str) -> Vec<String> {
        match self.told.iter().position(|told| told == id) {
            Some(at) => {
                let end = self.told.len().min(at + BATCH);
                self.told.drain(at..end).collect()
            }
            None => vec![id.to_owned()],
        }
    }
}

fn size(photo: &Looked) -> usize {
    match photo {
        Ok(Some(photo)) => photo.bytes.len(),
        _ => 0,
    }
}

impl Photos {
    fn of(&self, user: &str) -> Arc<Turn<Ahead>> {
        Arc::clone(self.users.lock().entry(user.to_owned()).or_default())
    }

    /// Forgets a mailbox of which nothing is left to be asked for.
    fn leave(&self, user: &str, ahead: &Ahead) {
        if ahead.told.is_empty() && ahead.ready.is_empty() {
            self.users.lock().remove(user);
        }
    }

    /// Contacts whose photos will be asked for, in that order.
    pub(super) async fn told(&self, user: &str, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let ahead = self.of(user);
        let mut ahead = ahead.lock().await;
        let again: HashSet<&String> = ids.iter().collect();
        ahead.told.retain(|told| !again.contains(told));
        ahead.told.extend(ids);
        let surplus = ahead.told.len().saturating_sub(MAX_TOLD);
        ahead.told.drain(..surplus);
    }
}

impl Contacts {
    /// The photo of a contact. Temporary failures are errors; `Ok(None)`: it has none.
    pub(super) async fn photo(&self, account: &Account, id: &str) -> Looked {
        let ahead = self.photos.of(&account.id);
        // One batch of a mailbox at a time: who waits here may find its photo brought.
        let mut ahead = ahead.lock().await;
        if let Some(photo) = ahead.take(id) {
            self.photos.leave(&account.id, &ahead);
            return photo;
        }
        let ids = ahead.batch(id);
        let calls: Vec<Call> = ids
            .iter()
            .map(|id| {
                let call = Call::get(PHOTO, &[&account.id, id]).patient_404(1);
                Self::of(account, call)
            })
            .collect();
        let answers = self.client.batch(Self::scope(account), &calls).await?;
        let mut mine = Ok(None);
        for (told, answer) in ids.into_iter().zip(answers) {
            let photo = match answer {
                Ok(part) => Ok(picture(&part)),
                Err(e) if e.class == ErrorClass::NotFound => Ok(None),
                Err(e) => Err(e),
            };
            if told == id {
                mine = photo;
            } else {
                ahead.keep(told, photo);
            }
        }
        self.photos.leave(&account.id, &ahead);
        mine
    }
}

/// The photo in an answer. Its bytes tell its kind, and if they don't, the service does.
fn picture(part: &Part) -> Option<Photo> {
    let bytes = part.bytes()?.to_vec();
    if bytes.is_empty() || bytes.len() > MAX_PHOTO {
        return None;
    }
    let told = || {
        let told = part.header("content-type").unwrap_or_default();
        let known = told.starts_with("image/") && !told.contains(|c: char| ";, \"".contains(c));
        if known { told } else { "image/jpeg" }
    };
    let content_type = image_type(&bytes).unwrap_or_else(told).to_owned();
    Some(Photo {
        content_type,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_ones_come_along() {
        let photos = Photos::default();
        let ids: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        photos.told("u", ids.clone()).await;
        let ahead = photos.of("u");
        let mut ahead = ahead.lock().await;
        assert_eq!(ahead.batch("10"), ids[10..30]);
        assert_eq!(ahead.batch("45"), ids[45..]);
        assert_eq!(ahead.batch("45"), ["45"]);
        assert_eq!(ahead.batch("0").len(), 20 - 10 + 10);
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_forgotten() {
        let photos = Photos::default();
        photos
            .told("u", (0..9_000).map(|n| n.to_string()).collect())
            .await;
        let ahead = photos.of("u");
        let mut ahead = ahead.lock().await;
        assert_eq!(ahead.told.len(), MAX_TOLD);
        for n in 0..20 {
            let photo = Photo {
                content_type: "image/jpeg".into(),
                bytes: vec![0; MAX_PHOTO],
            };
            ahead.keep(n.to_string(), Ok(Some(photo)));
            assert!(ahead.waiting <= MAX_WAITING);
        }
        assert!(ahead.take("19").unwrap().unwrap().is_some());
        assert!(ahead.take("19").is_none());
    }
}
