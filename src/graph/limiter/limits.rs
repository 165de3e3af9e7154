//! How much of each budget a client may use.

/// The budgets. `None` means: not paced from the start, only adapted to what the service says.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests in flight per mailbox (the service allows 4).
    pub mailbox_in_flight: u32,
    /// Requests per mailbox in 10 minutes (the service allows 10,000).
    pub mailbox_requests: Option<u64>,
    /// Bytes written to a mailbox in 5 minutes (the service allows 150 MB).
    pub mailbox_upload: Option<u64>,
    /// Requests in flight for all drives and sites.
    pub drives_in_flight: u32,
    /// Resource units per minute for all drives and sites.
    pub drive_units_minute: Option<u64>,
    /// Resource units in 24 hours for all drives and sites.
    pub drive_units_day: Option<u64>,
    /// Directory units in 10 seconds.
    pub directory_units: Option<u64>,
}

impl Limits {
    /// The published limits of a tenant with so many licences, with a margin of 4-5 %.
    pub fn for_licences(licences: u32) -> Self {
        let units: u64 = match licences {
            0..=1_000 => 1_250,
            1_001..=5_000 => 2_500,
            5_001..=15_000 => 3_750,
            15_001..=50_000 => 5_000,
            _ => 6_250,
        };
        Self {
            mailbox_in_flight: 4,
            mailbox_requests: Some(9_600),
            mailbox_upload: Some(140_000_000),
            drives_in_flight: 16,
            drive_units_minute: Some(units * 95 / 100),
            drive_units_day: Some(units * 960 * 95 / 100),
            directory_units: Some(3_300),
        }
    }

    /// No pace of our own: only what answers say (429, `Retry-After`, `RateLimit-*`) slows down.
    /// For services that are not Microsoft's own clouds.
    pub fn adaptive() -> Self {
        Self {
            mailbox_in_flight: 4,
            mailbox_requests: None,
            mailbox_upload: None,
            drives_in_flight: 16,
            drive_units_minute: None,
            drive_units_day: None,
            directory_units: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_licences(0)
    }
}
