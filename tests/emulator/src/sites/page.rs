//! Modern pages.

/// One page; its file is in the library `Site Pages`.
pub struct Page {
    pub title: String,
}

impl Page {
    pub fn canvas_content(&self) -> String {
        String::new()
    }

    pub fn layout_content(&self) -> String {
        String::new()
    }
}
