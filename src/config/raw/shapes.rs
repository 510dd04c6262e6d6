//! What the texts of keys look like: for the schema, which tells an editor and the reference. What is taken is decided
//! where a text is parsed.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident, $title:literal, $pattern:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::config) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $title, "pattern": $pattern })
            }
        }
    )*};
}

shapes! {
    /// A length of time as humantime reads it.
    Period, "a duration", r"^(0|\s*([0-9]+\s*[A-Za-zµ]+\s*)+)$";
    /// A length of time, or none at all.
    PeriodOrNever, "a duration, or `never`", r"^(never|\s*([0-9]+\s*[A-Za-zµ]+\s*)+)$";
    /// A file or a folder.
    FilePath, "a path", "^.+$";
    /// Where to listen.
    Address, "an address and a port", ":[0-9]+$";
    /// What begins with a scheme.
    Link, "a URL", "^[A-Za-z][A-Za-z0-9+.-]*:";
}

/// Where to listen: one place, or several.
#[derive(Debug)]
pub(in crate::config) enum Places {}

impl JsonSchema for Places {
    fn schema_name() -> Cow<'static, str> {
        "Places".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let place = "(:[0-9]+$)|(^unix:.)";
        json_schema!({
            "type": ["string", "array"],
            "title": "a place, or a list of them",
            "pattern": place,
            "items": { "type": "string", "pattern": place },
            "minItems": 1,
        })
    }
}
