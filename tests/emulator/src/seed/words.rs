//! Words that generated subjects, texts and names are put together from.

use crate::rng::Rng;

const WORDS: &[&str] = &[
    "the",
    "the",
    "the",
    "of",
    "and",
    "to",
    "in",
    "for",
    "we",
    "is",
    "that",
    "on",
    "with",
    "this",
    "be",
    "are",
    "as",
    "our",
    "have",
    "will",
    "from",
    "at",
    "by",
    "you",
    "it",
    "can",
    "not",
    "if",
    "please",
    "before",
    "after",
    "about",
    "report",
    "budget",
    "meeting",
    "schedule",
    "customer",
    "invoice",
    "contract",
    "project",
    "team",
    "release",
    "review",
    "draft",
    "version",
    "change",
    "request",
    "update",
    "deadline",
    "quarter",
    "forecast",
    "supplier",
    "delivery",
    "warehouse",
    "shipment",
    "order",
    "price",
    "offer",
    "discount",
    "agreement",
    "signature",
    "legal",
    "question",
    "answer",
    "support",
    "ticket",
    "incident",
    "server",
    "network",
    "backup",
    "restore",
    "migration",
    "account",
    "access",
    "password",
    "policy",
    "training",
    "workshop",
    "agenda",
    "minutes",
    "notes",
    "slides",
    "presentation",
    "marketing",
    "campaign",
    "launch",
    "product",
    "design",
    "prototype",
    "test",
    "result",
    "analysis",
    "data",
    "table",
    "chart",
    "summary",
    "detail",
    "estimate",
    "cost",
    "margin",
    "revenue",
    "growth",
    "plan",
    "travel",
    "hotel",
    "flight",
    "booking",
    "expense",
    "receipt",
    "approval",
    "manager",
    "department",
    "office",
    "building",
    "room",
    "floor",
    "parking",
    "holiday",
    "vacation",
    "monday",
    "friday",
    "morning",
    "afternoon",
    "tomorrow",
    "yesterday",
    "week",
    "month",
    "year",
    "first",
    "second",
    "final",
    "new",
    "old",
    "open",
    "closed",
    "urgent",
    "small",
    "large",
    "early",
    "late",
    "ready",
    "missing",
    "correct",
    "wrong",
    "possible",
    "necessary",
    "send",
    "receive",
    "check",
    "confirm",
    "prepare",
    "finish",
    "start",
    "discuss",
    "agree",
    "decide",
    "propose",
    "attached",
    "enclosed",
    "following",
    "regarding",
    "concerning",
    "according",
    "however",
    "therefore",
    "meanwhile",
    "København",
    "Zürich",
    "café",
    "naïve",
    "Łódź",
    "São Paulo",
    "東京",
    "Привет",
    "🙂",
    "résumé",
    "Größe",
];

const TOPICS: &[&str] = &[
    "Quarterly numbers",
    "Budget",
    "Offsite agenda",
    "Contract renewal",
    "Release plan",
    "Invoice",
    "Travel to",
    "Interview feedback",
    "Incident report",
    "Customer visit",
    "Price list",
    "Website relaunch",
    "Server migration",
    "Holiday plan",
    "Weekly report",
    "Minutes:",
    "Question about",
    "Delivery of",
    "Order",
    "Lunch on",
    "Workshop",
    "Approval needed:",
    "Draft:",
    "Reminder:",
    "Survey",
    "Welcome",
    "Security training",
    "Parking",
    "New hire",
    "Roadmap",
    "Angebot für",
    "Réunion",
    "見積書",
    "Отчёт",
];

pub fn words(rng: &mut Rng, count: u64) -> String {
    let mut out = String::new();
    for n in 0..count {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(rng.pick(WORDS));
    }
    out
}

/// One sentence, with a capital and a full stop.
pub fn sentence(rng: &mut Rng) -> String {
    let count = rng.range(5, 16);
    let text = words(rng, count);
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

pub fn paragraph(rng: &mut Rng) -> String {
    let count = rng.range(2, 7);
    (0..count)
        .map(|_| sentence(rng))
        .collect::<Vec<_>>()
        .join(" ")
}

pub fn subject(rng: &mut Rng) -> String {
    match rng.below(100) {
        0 => String::new(),
        1 => format!("a/b: \"{}\" <{}>?*|", words(rng, 2), rng.below(100)),
        2 => {
            let count = rng.range(25, 45);
            words(rng, count)
        }
        _ => {
            let count = rng.range(1, 4);
            format!("{} {}", rng.pick(TOPICS), words(rng, count))
        }
    }
}
