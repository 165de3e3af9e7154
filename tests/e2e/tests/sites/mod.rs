//! SharePoint sites, captured, mounted and put back.

mod attachments;
mod capture;
mod lists;
mod originals;
mod pages;
mod restore;
mod roles;
mod scene;
mod sharing;
mod special;
mod sweep;
mod versions;
mod whole;
