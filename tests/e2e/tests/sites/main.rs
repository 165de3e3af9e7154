//! SharePoint sites, captured, mounted and put back.

mod capture;
mod restore;
mod scene;
