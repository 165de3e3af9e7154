//! What an emulator is started with: the command line of the program, and the argument of
//! [`Emulator::start`](crate::Emulator::start).

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// A Microsoft Graph of its own, with a generated or imported tenant in it.
#[derive(Debug, Clone, Parser)]
#[command(name = "graph-emulator", version, after_long_help = crate::faults::HELP)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Certificate chain (PEM) to serve TLS with
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key (PEM) of --tls-cert
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Same seed and numbers, same tenant
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Users with a mailbox and a drive
    #[arg(long, default_value_t = 3)]
    pub accounts: usize,
    /// Users with a mailbox, a drive and (where there are any) an archive that nothing was put into
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub empty_accounts: usize,
    /// Generated messages in the whole tenant
    #[arg(long, default_value_t = 300)]
    pub messages: u64,
    /// Generated drive files in the whole tenant
    #[arg(long, default_value_t = 100)]
    pub files: u64,
    /// Generated calendar events in the whole tenant
    #[arg(long, default_value_t = 0)]
    pub events: u64,
    /// Generated contacts in the whole tenant
    #[arg(long, default_value_t = 0)]
    pub contacts: u64,
    /// Generated team sites; without any there are only the sites of people's OneDrives
    #[arg(long, default_value_t = 0)]
    pub sites: u64,
    /// Generated files in the libraries of all sites together
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub site_files: u64,
    /// Generated items in the lists of all sites together
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub site_items: u64,
    /// Folder of files; the libraries of the sites take turns
    #[arg(long, value_name = "DIR")]
    pub import_site_files: Vec<PathBuf>,
    /// Folder of .eml files; each of its folders becomes a mail folder, the mailboxes take turns
    #[arg(long, value_name = "DIR")]
    pub import_mail: Vec<PathBuf>,
    /// Users with an in-place archive mailbox, from the first
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub archives: usize,
    /// Generated messages in all archives together
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub archive_messages: u64,
    /// As --import-mail, into the archives
    #[arg(long, value_name = "DIR")]
    pub import_archive: Vec<PathBuf>,
    /// Folder of files; goes into the drives with its paths
    #[arg(long, value_name = "DIR")]
    pub import_files: Vec<PathBuf>,
    /// Folder of .ics files; the events in each of its folders become a calendar, the tasks a list
    #[arg(long, value_name = "DIR")]
    pub import_ics: Vec<PathBuf>,
    /// Folder of .vcf files; each of its folders becomes a contact folder, the mailboxes take turns
    #[arg(long, value_name = "DIR")]
    pub import_vcf: Vec<PathBuf>,

    /// Time every request takes at least
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub latency_ms: u64,
    /// The service's documented limits, or none
    #[arg(long, value_enum, default_value_t = Throttle::Off)]
    pub throttle: Throttle,
    /// Script of faults (JSON; see below)
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Writes every exchange as a JSON line
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Tenant id told to clients
    #[arg(long, default_value = "a7809c93-1f6b-4bd5-8f0e-3c9f0e1d2b3a")]
    pub tenant: String,
    /// Domain of the generated users
    #[arg(long, default_value = "contoso.com")]
    pub domain: String,
    /// Client id of the application that may sign in
    #[arg(long, default_value = "5b1c8a52-8f3e-4f3c-9f57-0d5a4c1e7b21")]
    pub client_id: String,
    /// Its secret; made at start when not given
    #[arg(long, value_name = "SECRET")]
    pub client_secret: Option<String>,
    /// Certificate (PEM) the application may sign assertions with; may be given several times
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Vec<PathBuf>,
    /// Permissions of the application, comma separated; all that the emulator knows when not given
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<String>,
    /// A further application with permissions of its own; may be given several times
    #[arg(long, value_name = "CLIENT_ID:SECRET:ROLE+ROLE")]
    pub app: Vec<String>,
    /// Lifetime of access tokens
    #[arg(long, default_value_t = 3599, value_name = "SECONDS")]
    pub token_lifetime: i64,
    /// How `$value` and delta treat what the documentation leaves open; may be given several times
    #[arg(long, value_enum, value_name = "QUIRK")]
    pub quirk: Vec<Quirk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Throttle {
    Real,
    Off,
}

/// Behaviour seen from the real service now and then, off unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quirk {
    /// `$value` writes new MIME boundaries at every call
    VaryBoundaries,
    /// An item that was moved away and back between two rounds is reported as removed only
    MoveTrap,
    /// The folder that an item was moved to never tells of it; the one it left does
    DeltaLosesArrivals,
    /// A move is told by neither folder, until the item changes again
    DeltaLosesMoves,
    /// Every third change is told by no delta round that follows another: what came, changed or left
    DeltaLosesChanges,
    /// Delta pages repeat items of the page before
    DuplicateItems,
    /// Every third delta page is empty but has a nextLink
    EmptyPages,
    /// Raw control characters inside JSON strings
    ControlCharacters,
    /// Delta gives only the properties that changed
    PartialDelta,
    /// `isRead` changes lastModifiedDateTime
    ReadTouches,
    /// `$value` of opaque S/MIME messages is a permanent 500
    SmimeFails,
    /// Lists of more than 100 messages with their bodies time out (504)
    HeavyPages,
    /// Access tokens live between 60 and 90 minutes
    RandomLifetime,
    /// `/v1.0` has `events/delta`, as its model says, with `$select`
    EventsDelta,
    /// `calendarView/delta` never comes to an end: its nextLink leads to the same page
    EndlessDelta,
    /// A series with hundreds of occurrences or exceptions is answered 503 with an empty body
    GiantSeries,
    /// Drive delta names items before the folders they are in
    ChildrenFirst,
    /// Notebooks are `package` alone, without the `folder` facet
    PackageOnly,
    /// Office files are rewritten when they are uploaded: other size, other hash
    OfficeRewrite,
    /// Downloads of notebook sections are answered 503
    BusyNotebooks,
    /// Download URLs answer a Range request with the whole file
    IgnoreRange,
    /// Download URLs put up with an access token instead of refusing it
    TakeAuthorization,
    /// v1.0 takes the ids of archive mailboxes too
    ArchiveInV1,
    /// Archives are made of two mailboxes; folders tell by parentMailboxUrl that they are in the second
    AutoExpandingArchive,
    /// Exported streams name another server build at every call
    VaryServerBuild,
    /// `/sites/{id}/drives` lists the library of pages too
    SitePagesDrive,
    /// Web parts say `#oneDrive.textWebPart` where the model has `#microsoft.graph.textWebPart`
    OneDriveTypes,
}

impl Default for Options {
    fn default() -> Options {
        Options::parse_from(["graph-emulator"])
    }
}

impl Options {
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirk.contains(&quirk)
    }
}
