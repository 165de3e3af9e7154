//! Streams: how objects come in.
//!
//! A put hashes, drops what is known, and either joins an open frame of the stream with
//! others of its sort or gets a frame of its own. Nothing here is shared with other streams but the map of what is in
//! flight, so callers give the parallelism.

use std::sync::Arc;

use parking_lot::Mutex;

use super::codec;
use super::dictionary;
use super::error::Result;
use super::frame::{self, OpenFrame};
use super::id::{Kind, ObjectId};
use super::pack;
use super::writer::{Pending, Shared};

#[derive(Default)]
pub(super) struct StreamState {
    pub(super) open: Mutex<[Option<Arc<OpenFrame>>; frame::LANES]>,
}

/// A sequence of objects that belong together: what goes through one stream becomes neighbours.
pub struct Stream {
    shared: Arc<Shared>,
    state: Arc<StreamState>,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, state: Arc<StreamState>) -> Self {
        Stream { shared, state }
    }

    /// Stores an object unless it is known, and returns its id. It is readable at once through
    /// this repository handle, and durable after the next [`Writer::flush`].
    pub fn put(&mut self, kind: Kind, data: &[u8]) -> Result<ObjectId> {
        pack::check_size(data.len())?;
        let shared = &self.shared;
        let id = shared.id_of(kind, data);
        if shared.contains(&id) {
            shared.count_known(data.len());
            return Ok(id);
        }
        shared.store_waiting()?;
        if data.len() >= frame::alone(kind) && !dictionary::is_trained(kind) {
            let encoded = codec::encode(data, None);
            shared.place(
                kind,
                data.len() as u32,
                vec![(id, data.len() as u32)],
                encoded,
            )?;
        } else {
            let mut open = self.state.open.lock();
            let slot = &mut open[frame::lane(kind, data)];
            let target = frame::target(kind);
            if let Some(full) = slot.take_if(|frame| frame.fill().1 + data.len() > target) {
                shared.full(full)?;
            }
            let frame =
                slot.get_or_insert_with(|| Arc::new(OpenFrame::new(kind, target.max(data.len()))));
            let mut pending = shared.shard(&id).write();
            if pending.contains_key(&id) {
                // Another stream was faster.
                shared.count_known(data.len());
                return Ok(id);
            }
            let offset = frame.push(id, data);
            pending.insert(
                id,
                Pending::Open {
                    frame: frame.clone(),
                    offset,
                    len: data.len() as u32,
                },
            );
        }
        shared.count_new(data.len());
        Ok(id)
    }

    /// The repository that is written; reads what was put already.
    pub fn repository(&self) -> super::Repository {
        self.shared.repository()
    }
}
