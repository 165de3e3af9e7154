//! Dictionaries: what the objects of a kind have in common, known to zstd beforehand.
//!
//! Worth 11-13 % on mail in single frames, much more on the few objects of an incremental
//! snapshot. One is trained per kind from the first objects seen (see [`Training`]), stored as a
//! sealed file `dictionaries/<id>`, and never changed or removed: frames name the one they need.
//! Several hosts may train several for one kind; that costs some bytes and harms nothing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use zstd::zstd_safe::{CDict, DDict};

use super::backend::Backend;
use super::error::{RepoError, Result};
use super::frame::OpenFrame;
use super::id::Kind;
use super::key::{MasterKey, random};
use super::seal::{FileType, RepoId, open_file, seal_file};

/// Folder of dictionary files.
pub(crate) const FOLDER: &str = "dictionaries";
/// No dictionary is larger; more is damage.
const MAX_SIZE: usize = 1 << 20;
/// Training starts when so many objects or bytes of a kind were seen.
const ENOUGH_OBJECTS: usize = 2000;
const ENOUGH_BYTES: usize = 4 << 20;
/// At a flush this much is enough as well.
const LEAST_OBJECTS: usize = 500;
const LEAST_BYTES: usize = 1 << 20;

/// Size of a kind's dictionary; `None`: the kind has none.
fn dictionary_size(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Mail => Some(112 << 10),
        Kind::Record | Kind::Node => Some(32 << 10),
        // Pieces of files have nothing in common; recipes are mostly ids.
        Kind::Chunk | Kind::Recipe => None,
    }
}

/// True for kinds that are compressed with a dictionary.
pub(crate) fn is_trained(kind: Kind) -> bool {
    dictionary_size(kind).is_some()
}

/// zstd level of a kind's frames.
pub(crate) fn level(kind: Kind) -> i32 {
    match kind {
        Kind::Mail => 3,
        Kind::Chunk | Kind::Recipe => 3,
        Kind::Record | Kind::Node => 3,
    }
}

/// One trained dictionary, ready for use.
pub(crate) struct Dictionary {
    id: u32,
    kind: Kind,
    bytes: Vec<u8>,
    compressor: OnceLock<CDict<'static>>,
    decompressor: OnceLock<DDict<'static>>,
}

impl Dictionary {
    fn new(id: u32, kind: Kind, bytes: Vec<u8>) -> Self {
        Dictionary {
            id,
            kind,
            bytes,
            compressor: OnceLock::new(),
            decompressor: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn compressor(&self) -> &CDict<'static> {
        self.compressor
            .get_or_init(|| CDict::create(&self.bytes, level(self.kind)))
    }

    pub(crate) fn decompressor(&self) -> &DDict<'static> {
        self.decompressor.get_or_init(|| DDict::create(&self.bytes))
    }
}

/// All dictionaries of a repository; each is read when first needed.
pub(crate) struct Dictionaries {
    backend: Arc<Backend>,
    master: MasterKey,
    repo: RepoId,
    known: RwLock<HashMap<u32, Arc<Dictionary>>>,
}

impl Dictionaries {
    pub(crate) fn new(backend: Arc<Backend>, master: MasterKey, repo: RepoId) -> Self {
        Dictionaries {
            backend,
            master,
            repo,
            known: RwLock::default(),
        }
    }

    /// The dictionary with this id.
    pub(crate) fn get(&self, id: u32) -> Result<Arc<Dictionary>> {
        if let Some(found) = self.known.read().get(&id) {
            return Ok(found.clone());
        }
        let dictionary = Arc::new(self.read(&file_name(id))?);
        self.known.write().insert(id, dictionary.clone());
        Ok(dictionary)
    }

    /// Reads each again when it is needed next.
    pub(crate) fn forget(&self) {
        self.known.write().clear();
    }

    /// Reads and checks a dictionary file.
    pub(crate) fn read(&self, file: &str) -> Result<Dictionary> {
        let sealed = self.backend.get(file)?;
        let plain = open_file(&self.master, &self.repo, FileType::Dictionary, file, sealed)?;
        let damaged = || RepoError::damaged(file, "it is no dictionary");
        let (kind, bytes) = plain.split_first().ok_or_else(damaged)?;
        let kind = Kind::from_u8(*kind).ok_or_else(damaged)?;
        let id = parse_name(file).ok_or_else(damaged)?;
        if bytes.is_empty() || bytes.len() > MAX_SIZE {
            return Err(damaged());
        }
        Ok(Dictionary::new(id, kind, bytes.to_vec()))
    }

    /// A kind's dictionary, when the repository has one: the first by name.
    pub(crate) fn of_kind(&self, kind: Kind, listed: &[String]) -> Result<Option<Arc<Dictionary>>> {
        for file in listed {
            let Some(id) = parse_name(file) else { continue };
            let dictionary = self.get(id)?;
            if dictionary.kind == kind {
                return Ok(Some(dictionary));
            }
        }
        Ok(None)
    }

    /// Trains a dictionary and makes it durable. `None` when the samples do not give one.
    fn train(
        &self,
        kind: Kind,
        size: usize,
        samples: &[u8],
        lengths: &[usize],
    ) -> Result<Option<(Arc<Dictionary>, u64)>> {
        let Ok(bytes) = zstd::dict::from_continuous(samples, lengths, size) else {
            return Ok(None);
        };
        let plain = [&[kind as u8], bytes.as_slice()].concat();
        loop {
            let id = u32::from_le_bytes(random()?);
            let file = file_name(id);
            let sealed = seal_file(
                &self.master,
                &self.repo,
                FileType::Dictionary,
                &file,
                &plain,
            )?;
            if self.backend.create(&file, &sealed)? {
                let dictionary = Arc::new(Dictionary::new(id, kind, bytes));
                self.known.write().insert(id, dictionary.clone());
                return Ok(Some((dictionary, sealed.len() as u64)));
            }
        }
    }
}

fn file_name(id: u32) -> String {
    format!("{FOLDER}/{id:08x}")
}

/// The id in a dictionary's file name.
pub(crate) fn parse_name(file: &str) -> Option<u32> {
    let id = u32::from_str_radix(file.strip_prefix(FOLDER)?.strip_prefix('/')?, 16).ok()?;
    (file_name(id) == file).then_some(id)
}

/// Where a kind of a running writer stands: full frames are held back, readable and unsealed,
/// until there are enough samples to train from; then they are compressed with the dictionary
/// they themselves gave. A flush ends the wait.
pub(crate) struct Training {
    kind: Kind,
    dictionary: OnceLock<Arc<Dictionary>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    frames: Vec<Arc<OpenFrame>>,
    objects: usize,
    bytes: usize,
}

/// Frames to seal now, with what dictionary, and the bytes a new dictionary took.
pub(crate) struct Released {
    pub frames: Vec<Arc<OpenFrame>>,
    pub dictionary: Option<Arc<Dictionary>>,
    pub written: u64,
}

impl Training {
    pub(crate) fn new(kind: Kind, existing: Option<Arc<Dictionary>>) -> Self {
        let dictionary = OnceLock::new();
        if let Some(existing) = existing {
            let _ = dictionary.set(existing);
        }
        Training {
            kind,
            dictionary,
            held: Mutex::default(),
        }
    }

    /// Takes a full frame; says which frames are to be sealed now.
    pub(crate) fn offer(
        &self,
        frame: Arc<OpenFrame>,
        dictionaries: &Dictionaries,
    ) -> Result<Released> {
        let Some(size) = dictionary_size(self.kind) else {
            return Ok(Released {
                frames: vec![frame],
                dictionary: None,
                written: 0,
            });
        };
        if let Some(dictionary) = self.dictionary.get() {
            // What was held back is shared out: each caller takes one more than its own.
            let mut frames = vec![frame];
            frames.extend(self.held.lock().frames.pop());
            return Ok(Released {
                frames,
                dictionary: Some(dictionary.clone()),
                written: 0,
            });
        }
        let mut held = self.held.lock();
        let (objects, bytes) = frame.fill();
        held.objects += objects;
        held.bytes += bytes;
        held.frames.push(frame);
        if held.objects < ENOUGH_OBJECTS && held.bytes < ENOUGH_BYTES {
            return Ok(Released {
                frames: Vec::new(),
                dictionary: None,
                written: 0,
            });
        }
        let written = self.train(&mut held, size, dictionaries)?;
        if self.dictionary.get().is_none() {
            // These samples give none: do not try again at every frame.
            let frames = std::mem::take(&mut *held).frames;
            return Ok(Released {
                frames,
                dictionary: None,
                written,
            });
        }
        let frames = held.frames.pop().into_iter().collect();
        Ok(Released {
            frames,
            dictionary: self.dictionary.get().cloned(),
            written,
        })
    }

    /// Gives up waiting: all frames that are held, for a flush.
    pub(crate) fn settle(&self, dictionaries: &Dictionaries) -> Result<Released> {
        let mut held = self.held.lock();
        let mut written = 0;
        if let (None, Some(size)) = (self.dictionary.get(), dictionary_size(self.kind)) {
            if held.objects >= LEAST_OBJECTS && held.bytes >= LEAST_BYTES {
                written = self.train(&mut held, size, dictionaries)?;
            }
        }
        let frames = std::mem::take(&mut *held).frames;
        Ok(Released {
            frames,
            dictionary: self.dictionary.get().cloned(),
            written,
        })
    }

    fn train(&self, held: &mut Held, size: usize, dictionaries: &Dictionaries) -> Result<u64> {
        let mut samples = Vec::with_capacity(held.bytes);
        let mut lengths = Vec::with_capacity(held.objects);
        for frame in &held.frames {
            frame.samples(&mut samples, &mut lengths);
        }
        let trained = dictionaries.train(self.kind, size, &samples, &lengths)?;
        Ok(trained.map_or(0, |(dictionary, written)| {
            let _ = self.dictionary.set(dictionary);
            written
        }))
    }
}
