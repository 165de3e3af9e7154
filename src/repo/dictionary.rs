//! Dictionaries: what the objects of a kind have in common, known to zstd beforehand.
//!
//! Worth 11-13 % on mail in single frames, much more on the few objects of an incremental
//! snapshot. One is trained per kind from the first objects seen (see [`Training`]), stored as a
//! sealed file `dictionaries/<id>`, and never changed or removed: frames name the one they need.
//! Several hosts may train several for one kind; that costs some bytes and harms nothing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use zstd::zstd_safe::{CDict, DDict};

use super::backend::Backend;
use super::codec;
use super::error::{RepoError, Result};
use super::frame::OpenFrame;
use super::id::Kind;
use super::key::{Keys, random};
use super::seal::{FileType, RepoId, open_file, seal_file};

/// Folder of dictionary files.
pub(crate) const FOLDER: &str = "dictionaries";
/// No dictionary is larger; more is damage.
const MAX_SIZE: usize = 1 << 20;
/// Training starts when so many objects or bytes of a kind were seen.
const ENOUGH_OBJECTS: usize = 2000;
const ENOUGH_BYTES: usize = 12 << 20;
/// At a flush this much is enough as well. With less a dictionary costs more than it saves.
const LEAST_OBJECTS: usize = 500;
const LEAST_BYTES: usize = 3 << 20;
/// Bytes taken of each object, and of all of them. Measured on 4,705 mails: whole objects let one
/// large picture fill the dictionary; 2 MiB train in 0.2 s and lose 2 % against 12 MiB in 1.3 s.
const SAMPLE_LENGTH: usize = 4 << 10;
const SAMPLE_BYTES: usize = 2 << 20;

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

/// Objects from which a missing dictionary is trained when a writer starts.
pub(crate) const SAMPLED_OBJECTS: usize = ENOUGH_OBJECTS;

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
            .get_or_init(|| CDict::create(&self.bytes, codec::LEVEL))
    }

    pub(crate) fn decompressor(&self) -> &DDict<'static> {
        self.decompressor.get_or_init(|| DDict::create(&self.bytes))
    }
}

/// All dictionaries of a repository; each is read when first needed.
pub(crate) struct Dictionaries {
    backend: Arc<Backend>,
    keys: Keys,
    repo: RepoId,
    known: RwLock<HashMap<u32, Arc<Dictionary>>>,
}

impl Dictionaries {
    pub(crate) fn new(backend: Arc<Backend>, keys: Keys, repo: RepoId) -> Self {
        Dictionaries {
            backend,
            keys,
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
        let plain = open_file(&self.keys, &self.repo, FileType::Dictionary, file, sealed)?;
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
            let sealed = seal_file(&self.keys, &self.repo, FileType::Dictionary, &file, &plain)?;
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
/// they themselves gave. A flush ends the wait, but what was seen counts on.
pub(crate) struct Training {
    kind: Kind,
    dictionary: OnceLock<Arc<Dictionary>>,
    held: Mutex<Held>,
    trained: Condvar,
}

#[derive(Default)]
struct Held {
    frames: Vec<Arc<OpenFrame>>,
    samples: Samples,
    /// Somebody trains; frames go on being held back meanwhile, so that nobody else waits.
    training: bool,
    /// These samples gave no dictionary: no more tries by this writer.
    hopeless: bool,
}

/// What a dictionary is trained from: the beginnings of objects.
#[derive(Default)]
pub(crate) struct Samples {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    objects: usize,
    seen: usize,
}

impl Samples {
    /// Takes an object in.
    pub(crate) fn add(&mut self, object: &[u8]) {
        self.objects += 1;
        self.seen += object.len();
        // zstd's trainer does not take shorter ones.
        if object.len() >= 8 {
            let sample = &object[..object.len().min(SAMPLE_LENGTH)];
            self.bytes.extend_from_slice(sample);
            self.lengths.push(sample.len());
        }
    }

    fn enough(&self) -> bool {
        self.objects >= ENOUGH_OBJECTS || self.seen >= ENOUGH_BYTES
    }

    fn enough_at_flush(&self) -> bool {
        self.objects >= LEAST_OBJECTS && self.seen >= LEAST_BYTES
    }

    /// Evenly chosen samples of about [`SAMPLE_BYTES`]: the trainer's time grows with its input.
    fn thin(self) -> (Vec<u8>, Vec<usize>) {
        let step = self.bytes.len().div_ceil(SAMPLE_BYTES).max(1);
        let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (n, len) in self.lengths.into_iter().enumerate() {
            if n % step == 0 {
                bytes.extend_from_slice(&self.bytes[start..start + len]);
                lengths.push(len);
            }
            start += len;
        }
        (bytes, lengths)
    }
}

/// Frames to seal now, with what dictionary, and the bytes a new dictionary took.
#[derive(Default)]
pub(crate) struct Released {
    pub frames: Vec<Arc<OpenFrame>>,
    pub dictionary: Option<Arc<Dictionary>>,
    pub written: u64,
}

impl Training {
    /// Begins with the kind's dictionary, or with samples of what is stored already.
    pub(crate) fn new(kind: Kind, existing: Option<Arc<Dictionary>>, samples: Samples) -> Self {
        let dictionary = OnceLock::new();
        if let Some(existing) = existing {
            let _ = dictionary.set(existing);
        }
        let held = Mutex::new(Held {
            samples,
            ..Held::default()
        });
        Training {
            kind,
            dictionary,
            held,
            trained: Condvar::new(),
        }
    }

    /// The file of the dictionary in use.
    pub(crate) fn dictionary_file(&self) -> Option<String> {
        self.dictionary
            .get()
            .map(|dictionary| file_name(dictionary.id()))
    }

    /// Takes a full frame; says which frames are to be sealed now.
    pub(crate) fn offer(
        &self,
        frame: Arc<OpenFrame>,
        dictionaries: &Dictionaries,
    ) -> Result<Released> {
        let now = |frames, dictionary| Released {
            frames,
            dictionary,
            written: 0,
        };
        let Some(size) = dictionary_size(self.kind) else {
            return Ok(now(vec![frame], None));
        };
        if let Some(dictionary) = self.dictionary.get() {
            // What was held back is shared out: each caller takes one more than its own.
            let mut frames = vec![frame];
            frames.extend(self.held.lock().frames.pop());
            return Ok(now(frames, Some(dictionary.clone())));
        }
        let mut held = self.held.lock();
        if held.hopeless {
            return Ok(now(vec![frame], None));
        }
        if !held.training {
            frame.each(|object| held.samples.add(object));
        }
        held.frames.push(frame);
        if held.training || !held.samples.enough() {
            return Ok(Released::default());
        }
        let (mut held, written) = self.train(held, size, dictionaries)?;
        let frames = if held.hopeless {
            std::mem::take(&mut held.frames)
        } else {
            held.frames.pop().into_iter().collect()
        };
        Ok(Released {
            frames,
            dictionary: self.dictionary.get().cloned(),
            written,
        })
    }

    /// Gives up waiting: all frames that are held, for a flush.
    pub(crate) fn settle(&self, dictionaries: &Dictionaries) -> Result<Released> {
        let mut held = self.held.lock();
        while held.training {
            self.trained.wait(&mut held);
        }
        let mut written = 0;
        let untrained = self.dictionary.get().is_none() && !held.hopeless;
        if let (true, true, Some(size)) = (
            untrained,
            held.samples.enough_at_flush(),
            dictionary_size(self.kind),
        ) {
            (held, written) = self.train(held, size, dictionaries)?;
        }
        Ok(Released {
            frames: std::mem::take(&mut held.frames),
            dictionary: self.dictionary.get().cloned(),
            written,
        })
    }

    /// Trains outside of the lock.
    fn train<'a>(
        &'a self,
        mut held: MutexGuard<'a, Held>,
        size: usize,
        dictionaries: &Dictionaries,
    ) -> Result<(MutexGuard<'a, Held>, u64)> {
        held.training = true;
        let (bytes, lengths) = std::mem::take(&mut held.samples).thin();
        drop(held);
        let trained = dictionaries.train(self.kind, size, &bytes, &lengths);
        let mut held = self.held.lock();
        held.training = false;
        self.trained.notify_all();
        match trained? {
            Some((dictionary, written)) => {
                let _ = self.dictionary.set(dictionary);
                Ok((held, written))
            }
            None => {
                held.hopeless = true;
                Ok((held, 0))
            }
        }
    }
}
