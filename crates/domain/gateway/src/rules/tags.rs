//! `X-Global-Tags`: points with the same values of some keys travel together, and a header says which.
//!
//! Source: dataway reference §3.4.

use levada_model::Category;

/// The keys whose values make the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalTags {
    /// Tags that are set for the whole host, with their values.
    pub tags: Vec<(String, String)>,
    /// More keys.
    pub customer_keys: Vec<String>,
    /// Whether values are escaped by `%XX`, which only receivers of our own understand; otherwise what would break the
    /// header becomes `_` (B17).
    pub is_escaped: bool,
}

// === impl GlobalTags ===

impl GlobalTags {
    /// Says whether points are grouped at all.
    pub fn is_active(&self) -> bool {
        !self.tags.is_empty() || !self.customer_keys.is_empty()
    }

    /// Gives the header of requests that are about no points.
    pub fn default_header(&self) -> String {
        let mut pairs: Vec<String> = self
            .tags
            .iter()
            .map(|(key, value)| {
                let mut pair = String::new();
                self.append(key, value, &mut pair);
                pair
            })
            .collect();
        pairs.sort_unstable();
        pairs.join(",")
    }

    fn has(&self, key: &str) -> bool {
        self.tags.iter().any(|(known, _)| known == key)
            || self.customer_keys.iter().any(|known| known == key)
    }

    fn append(&self, key: &str, value: &str, out: &mut String) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(key);
        out.push('=');
        for character in value.chars() {
            let is_breaking = matches!(character, ',' | '=') || character.is_control();
            // A header is ASCII; other bytes are a matter of luck.
            match is_breaking || self.is_escaped && (character == '%' || !character.is_ascii()) {
                false => out.push(character),
                true if self.is_escaped => {
                    let mut bytes = [0; 4];
                    for byte in character.encode_utf8(&mut bytes).bytes() {
                        out.push_str(&format!("%{byte:02X}"));
                    }
                }
                true => out.push('_'),
            }
        }
    }
}

/// Appends the header of a point: its values in their order, then what its category and name say.
///
/// `texts` are the keys and values of the point that are texts.
pub fn header_value<'p>(
    rules: &GlobalTags,
    category: Category,
    name: &str,
    texts: impl Iterator<Item = (&'p str, &'p str)>,
    out: &mut String,
) {
    for (key, value) in texts {
        if rules.has(key) {
            rules.append(key, value, out);
        }
    }
    if rules.has("category") {
        rules.append("category", category.name(), out);
    }
    let key = match category {
        Category::Logging
        | Category::ObjectChange
        | Category::DialTesting
        | Category::Network
        | Category::KeyEvent
        | Category::Rum => "source",
        Category::Metric | Category::Metrics => "measurement",
        Category::Object | Category::CustomObject => "class",
        _ => return,
    };
    if rules.has(key) {
        rules.append(key, name, out);
    }
}
