//! SharePoint sites, captured, mounted and put back.

mod capture;
mod lists;
mod pages;
mod restore;
mod scene;
