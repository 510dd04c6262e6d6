//! Whether telemetry is sent, and how, from the standard variables of OpenTelemetry. Nothing is sent unless one of
//! them names an endpoint or asks for it. What else they say (headers, timeouts, sampling) the exporters read.

use super::ConfigError;
use crate::telemetry::{Export, Protocol};

/// Reads the environment.
pub(super) fn from_environment() -> Result<Export, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
    decide(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

fn decide(variable: impl Fn(&str) -> Option<String>) -> Result<Export, ConfigError> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(Export::default());
    }
    let signal = |name: &str| {
        let own = |rest: &str| format!("OTEL_EXPORTER_OTLP_{name}_{rest}");
        let endpoint = variable(&own("ENDPOINT")).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let chosen = format!("OTEL_{name}_EXPORTER");
        match variable(&chosen).as_deref() {
            None if endpoint.is_none() => return Ok(None),
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(_) => return Err(ConfigError::new(chosen, "write otlp or none")),
        }
        let key = [own("PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned()];
        let said = key.into_iter().find_map(|key| Some((variable(&key)?, key)));
        match said.as_ref().map(|(value, key)| (value.as_str(), key)) {
            None | Some(("http/protobuf", _)) => Ok(Some(Protocol::Http)),
            Some(("grpc", _)) => Ok(Some(Protocol::Grpc)),
            Some((_, key)) => Err(ConfigError::new(key, "write http/protobuf or grpc")),
        }
    };
    Ok(Export { traces: signal("TRACES")?, metrics: signal("METRICS")?, logs: signal("LOGS")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Export =
        Export { traces: Some(Protocol::Http), metrics: Some(Protocol::Http), logs: Some(Protocol::Http) };

    fn decided(variables: &[(&str, &str)]) -> Result<Export, String> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        decide(find).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named_or_it_is_asked_for() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let traces_only = Export { traces: Some(Protocol::Http), ..Export::default() };
        let cases: [(&[(&str, &str)], Export); 9] = [
            (&[], Export::default()),
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Export::default()),
            (&[endpoint], EVERYTHING),
            (&[endpoint, ("OTEL_SDK_DISABLED", "true")], Export::default()),
            (&[endpoint, ("OTEL_SDK_DISABLED", "false")], EVERYTHING),
            (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], Export { traces: None, ..EVERYTHING }),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")], traces_only),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], traces_only),
            (
                &[endpoint, ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")],
                Export { logs: Some(Protocol::Grpc), ..EVERYTHING },
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(decided(variables), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_known_is_named_with_its_variable() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variable, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "carrier pigeon"),
        ] {
            let refused = decided(&[endpoint, (variable, value)]).unwrap_err();
            assert!(refused.starts_with(&format!("{variable}: write ")), "{refused}");
        }
    }
}
