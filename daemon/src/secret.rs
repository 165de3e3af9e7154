//! What opens a repository, and where it comes from: a file, a command, a systemd credential.
//!
//! Nothing here logs or shows a secret; of a command that fails only its errors are told.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use tenantfs::repo::{KeyKind, key_file_secret};

/// How long a password command may take; it may have to ask a service or a person.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// A password command that prints more does something else.
const MAX_OUTPUT: u64 = 64 << 10;
/// Key files are read up to here; the library says what is too long.
const MAX_KEY_FILE: u64 = (1 << 20) + 1;

/// A secret and what kind of key it is.
pub struct Secret {
    /// What was typed, or the bytes of a key file as the library takes them.
    pub text: SecretString,
    /// What it was read as.
    pub kind: KeyKind,
}

/// The one place a repository's secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file with a password.
    PasswordFile(PathBuf),
    /// A file of random bytes.
    KeyFile(PathBuf),
    /// A program and its arguments; the first line it prints is the password.
    Command(Vec<String>),
    /// Name of a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl Source {
    /// For messages: `the password in /etc/tenantfs/password`.
    pub fn describe(&self) -> String {
        match self {
            Self::PasswordFile(file) => format!("the password in {}", file.display()),
            Self::KeyFile(file) => format!("the key file {}", file.display()),
            Self::Command(words) => format!("the password that {:?} prints", program(words)),
            Self::Credential(name) => format!("the password in the credential {name}"),
        }
    }

    /// The secret.
    pub fn read(&self) -> Result<Secret> {
        let (text, kind) = match self {
            Self::PasswordFile(file) => (password_file(file)?, KeyKind::Password),
            Self::KeyFile(file) => (key_file(file)?, KeyKind::KeyFile),
            Self::Command(words) => (
                first_line(words, COMMAND_TIMEOUT).with_context(|| {
                    format!("password_command {:?} gave no password", program(words))
                })?,
                KeyKind::Password,
            ),
            Self::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
                (credential(name, folder.as_deref())?, KeyKind::Password)
            }
        };
        Ok(Secret { text, kind })
    }
}

/// Reads a file that holds one secret. Its last line end is not part of it.
pub fn read_secret(path: &Path, what: &str) -> Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the {what} from {}", path.display()))?;
    warn_if_world_readable(path, what);
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("the {what} file {} is empty", path.display());
    }
    Ok(SecretString::from(secret.to_owned()))
}

fn warn_if_world_readable(path: &Path, what: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the {what} file {} can be read by others (mode {:o}); chmod 600 it",
            path.display(),
            mode & 0o777
        );
    }
}

/// What a command is called by. Its arguments may be secret.
fn program(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

fn password_file(path: &Path) -> Result<SecretString> {
    read_secret(path, "repository password")
}

fn key_file(path: &Path) -> Result<SecretString> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read the key file {}", path.display()))?;
    warn_if_world_readable(path, "key");
    key_file_secret(&bytes).with_context(|| format!("{} is no key file", path.display()))
}

fn credential(name: &str, folder: Option<&OsStr>) -> Result<SecretString> {
    let Some(folder) = folder else {
        bail!(
            "password_credential = {name:?}, and there is no $CREDENTIALS_DIRECTORY: the program was not \
             started by systemd with LoadCredential={name}:FILE"
        );
    };
    password_file(&Path::new(folder).join(name))
}

/// The first line that a program prints.
fn first_line(words: &[String], timeout: Duration) -> Result<SecretString> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("it is empty; give the program and its arguments");
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program:?}"))?;
    let printed = reader(child.stdout.take());
    let errors = reader(child.stderr.take());
    let status = wait(&mut child, timeout)?;
    let Some(status) = status else {
        bail!("it did not end within {} seconds", timeout.as_secs());
    };
    if !status.success() {
        let errors = errors.join().unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        bail!("it ended with {status}: {}", errors.trim());
    }
    let printed = printed.join().unwrap_or_default();
    let line = printed.split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => bail!("the first line of its output is empty"),
        Ok(line) => Ok(SecretString::from(line.to_owned())),
        Err(_) => bail!("the first line of its output is not UTF-8"),
    }
}

/// Reads what a program prints, so that it never waits for a reader.
fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What came before an error is all there is.
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// The status of a program that ends in time; one that does not is killed.
fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn shell(script: &str) -> Result<SecretString> {
        let words = ["sh", "-c", script].map(str::to_owned);
        first_line(&words, Duration::from_secs(1))
    }

    #[test]
    fn a_command_gives_its_first_line_or_says_why_not() {
        let password = shell("echo 'correct horse'; echo battery").unwrap();
        assert_eq!(password.expose_secret(), "correct horse");
        let error = shell("echo hidden; echo 'vault is sealed' >&2; exit 3");
        let error = format!("{:#}", error.unwrap_err());
        assert!(
            error.contains("vault is sealed") && !error.contains("hidden"),
            "{error}"
        );
        assert!(shell("true").is_err());
        let error = format!("{:#}", shell("exec sleep 20").unwrap_err());
        assert!(error.contains("1 seconds"), "{error}");
        assert!(first_line(&["/nonexistent".into()], Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_credential_is_a_file_in_the_folder_that_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("repo"), "secret\n").unwrap();
        let found = credential("repo", Some(folder.path().as_os_str())).unwrap();
        assert_eq!(found.expose_secret(), "secret");
        let error = credential("repo", None).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=repo"), "{error}");
    }

    #[test]
    fn a_key_file_is_long_enough_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, [7; 31]).unwrap();
        let error = format!("{:#}", key_file(&path).unwrap_err());
        assert!(error.contains("32 random bytes"), "{error}");
        std::fs::write(&path, [7; 32]).unwrap();
        assert_eq!(key_file(&path).unwrap().expose_secret().len(), 64);
    }
}
