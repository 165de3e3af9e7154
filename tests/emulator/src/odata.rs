//! Query options shared by all lists: `$select`, `$top`, `$skip`, `$count`, and the shape of a page.
//!
//! `$filter` and `$orderby` are in [`crate::filter`].

use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse};

pub type Object = Map<String, Value>;

/// Value of a property; null when there is none.
pub fn field<'a>(object: &'a Object, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    object.get(name).unwrap_or(&NULL)
}

/// The properties a request asked for; none named means all that are shown by default.
#[derive(Debug, Clone, Default)]
pub struct Select(Option<Vec<String>>);

impl Select {
    /// Reads `$select` and refuses names `type_name` does not have, as the service does.
    pub fn of(
        request: &ApiRequest,
        type_name: &str,
        known: &[&str],
    ) -> Result<Select, ApiResponse> {
        Select::parse(request.option("select"), type_name, known)
    }

    pub fn parse(
        text: Option<&str>,
        type_name: &str,
        known: &[&str],
    ) -> Result<Select, ApiResponse> {
        let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
            return Ok(Select(None));
        };
        let names: Vec<String> = text
            .split(',')
            .map(|n| n.trim().to_owned())
            .filter(|n| !n.is_empty())
            .collect();
        if names.iter().any(|n| n == "*") {
            return Ok(Select(None));
        }
        for name in &names {
            // `microsoft.graph.eventMessage/event` and complex paths are judged by their first step.
            let first = name.split('/').next().unwrap_or(name);
            if !first.contains('.') && !known.iter().any(|k| k.eq_ignore_ascii_case(first)) {
                return Err(ApiResponse::error(
                    400,
                    "RequestBroker--ParseUri",
                    &format!("Could not find a property named '{name}' on type '{type_name}'."),
                ));
            }
        }
        Ok(Select(Some(names)))
    }

    /// True when `name` was named, or nothing was.
    pub fn wants(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
    }

    /// True when `name` itself was named.
    pub fn names(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|names| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
    }

    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Takes away what was not asked for. `id` and annotations stay.
    pub fn apply(&self, object: &mut Object) {
        if let Some(names) = &self.0 {
            object.retain(|key, _| {
                key == "id"
                    || key.contains("@")
                    || names.iter().any(|n| n.eq_ignore_ascii_case(key))
            });
        }
    }

    pub fn text(&self) -> Option<String> {
        self.0.as_ref().map(|names| names.join(","))
    }
}

/// A whole number given as query option `name`.
pub fn number(request: &ApiRequest, name: &str) -> Result<Option<u64>, ApiResponse> {
    match request.option(name) {
        None => Ok(None),
        Some(text) => text.trim().parse().map(Some).map_err(|_| {
            ApiResponse::error(
                400,
                "BadRequest",
                &format!("Invalid value '{text}' for ${name} query option found. The ${name} query option requires a non-negative integer value."),
            )
        }),
    }
}

/// Page size of a list: `$top`, else `Prefer: odata.maxpagesize`, else `default`, at most `max`.
pub fn page_size(request: &ApiRequest, default: usize, max: usize) -> Result<usize, ApiResponse> {
    if let Some(top) = number(request, "top")? {
        return Ok((top as usize).clamp(1, max));
    }
    Ok(max_page_size(request).unwrap_or(default).clamp(1, max))
}

/// `Prefer: odata.maxpagesize=N`.
pub fn max_page_size(request: &ApiRequest) -> Option<usize> {
    request
        .prefer("odata.maxpagesize")
        .and_then(|n| n.parse().ok())
}

/// A page of a collection: `@odata.context`, count when asked for, `value`, and the link on.
pub fn page(
    context: String,
    count: Option<usize>,
    value: Vec<Value>,
    next: Option<String>,
) -> Value {
    let mut out = Object::new();
    out.insert("@odata.context".into(), Value::String(context));
    if let Some(count) = count {
        out.insert("@odata.count".into(), json!(count));
    }
    out.insert("value".into(), Value::Array(value));
    if let Some(next) = next {
        out.insert("@odata.nextLink".into(), Value::String(next));
    }
    Value::Object(out)
}

/// This request's URL with `$skip` (or another paging option) set to `value`, for a nextLink.
pub fn link_with(request: &ApiRequest, option: &str, value: &str) -> String {
    let mut parts: Vec<String> = request
        .raw_query
        .split('&')
        .filter(|part| {
            let name = part.split('=').next().unwrap_or("").to_ascii_lowercase();
            let name = name.trim_start_matches("%24").trim_start_matches('$');
            !part.is_empty() && name != option
        })
        .map(str::to_owned)
        .collect();
    parts.push(format!("${option}={value}"));
    format!("{}?{}", request.own_url(), parts.join("&"))
}

/// True with `$count=true`.
pub fn wants_count(request: &ApiRequest) -> bool {
    request
        .option("count")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// Pages through `all` by `$top` and `$skip`, in the order given.
pub fn slice(
    request: &ApiRequest,
    context: String,
    all: Vec<Value>,
    default: usize,
    max: usize,
) -> Result<Value, ApiResponse> {
    let size = page_size(request, default, max)?;
    let skip = number(request, "skip")?.unwrap_or(0) as usize;
    let total = all.len();
    let value: Vec<Value> = all.into_iter().skip(skip).take(size).collect();
    let end = skip.saturating_add(value.len());
    let next = (end < total).then(|| link_with(request, "skip", &end.to_string()));
    Ok(page(
        context,
        wants_count(request).then_some(total),
        value,
        next,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn unknown_properties_are_refused() {
        let error =
            Select::parse(Some("id,@removed"), "microsoft.graph.message", &["id"]).unwrap_err();
        assert_eq!(error.status, 400);
        let select = Select::parse(Some("Subject,id"), "m", &["id", "subject"]).unwrap();
        assert!(select.wants("subject") && !select.wants("body"));
    }

    #[test]
    fn pages_follow_each_other() {
        let mut r =
            ApiRequest::parse(Method::GET, "/v1.0/users?%24top=2&$select=id&$count=true").unwrap();
        r.base_url = "http://h".into();
        let all = (0..5).map(|n| json!(n)).collect();
        let first = slice(&r, "c".into(), all, 10, 100).unwrap();
        assert_eq!(first["@odata.count"], 5);
        assert_eq!(
            first["@odata.nextLink"],
            "http://h/v1.0/users?%24top=2&$select=id&$count=true&$skip=2"
        );
    }
}
