//! SharePoint sites, captured, mounted and put back.

mod capture;
mod lists;
mod restore;
mod scene;
mod versions;
