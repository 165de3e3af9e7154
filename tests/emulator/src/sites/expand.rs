//! `$expand`: `fields($select=A,B),driveItem`, with or without `$`.

/// One thing that is asked for inline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expand {
    /// Lower case.
    pub name: String,
    pub select: Option<Vec<String>>,
    pub inner: Vec<Expand>,
}

/// Reads the value of `$expand`.
pub fn parse(text: Option<&str>) -> Vec<Expand> {
    parts(text.unwrap_or_default(), ',')
        .into_iter()
        .map(|part| {
            let (name, options) = match part.split_once('(') {
                Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
                None => (part, ""),
            };
            let mut out = Expand {
                name: name.trim().to_ascii_lowercase(),
                ..Expand::default()
            };
            for option in parts(options, ';') {
                let Some((key, value)) = option.split_once('=') else {
                    continue;
                };
                match key
                    .trim()
                    .trim_start_matches('$')
                    .to_ascii_lowercase()
                    .as_str()
                {
                    "select" => out.select = Some(names(value)),
                    "expand" => out.inner = parse(Some(value)),
                    _ => {}
                }
            }
            out
        })
        .collect()
}

/// The names in a list of names.
pub fn names(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|n| !n.is_empty());
    names.map(str::to_owned).collect()
}

/// Splits outside of parentheses.
fn parts(text: &str, at: char) -> Vec<&str> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if c == at && depth == 0 => {
                out.push(&text[start..i]);
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out.retain(|part| !part.trim().is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_nest() {
        let all = parse(Some(
            "columns(select=name,description),items($top=2;$expand=fields(select=Name,Color;x=y)),drive",
        ));
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[0].select,
            Some(vec!["name".into(), "description".into()])
        );
        assert_eq!(all[1].inner[0].name, "fields");
        assert_eq!(
            all[1].inner[0].select,
            Some(vec!["Name".into(), "Color".into()])
        );
        assert_eq!(
            all[2],
            Expand {
                name: "drive".into(),
                ..Expand::default()
            }
        );
        assert!(parse(None).is_empty());
    }
}
