//! Which traces are recorded: those that the operator says in `OTEL_TRACES_SAMPLER`, not those that a stranger wishes.
//!
//! A request joins its caller's trace before anybody knows who calls, and tracestate, which is the caller's own text, is
//! left behind. Its flag that the trace is recorded is believed of a caller whose token was verified, and until then
//! our own sampler decides as for a trace that begins here: else strangers could fill the back end, which is paid by
//! volume. The flag that a trace is not recorded is believed of everybody: it asks for less, spares whoever samples in
//! front of us what they did not choose, and hides nothing, for lines, figures and the audit log tell of the request all
//! the same.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    Config, IdGenerator as _, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};

use super::context::caller;

/// Marks the context of a caller whom nobody has verified.
#[derive(Debug)]
pub(super) struct Stranger;

/// The operator's sampler, and who is believed.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    operators: Box<dyn ShouldSample>,
    /// Whoever picks the ids of their traces must not pick those that a share of all is taken by.
    blur: u128,
}

impl Sampling {
    /// As the environment says; without a word there, everything is recorded.
    pub(super) fn from_environment() -> Self {
        Self::by(Config::default().sampler)
    }

    fn by(operators: Box<dyn ShouldSample>) -> Self {
        let blur = u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes());
        Self { operators, blur }
    }

    /// Whether anything can be recorded at all: what begins here under the id that is the last to be left out, or what
    /// a caller records.
    pub(super) fn records_anything(&self) -> bool {
        let id = TraceId::from(1 << 64);
        let recording = caller(id, true);
        let ask = |parent| self.operators.should_sample(parent, id, "", &SpanKind::Server, &[], &[]);
        [None, Some(&recording)].into_iter().any(|parent| is_recorded(&ask(parent)))
    }
}

fn is_recorded(result: &SamplingResult) -> bool {
    result.decision != SamplingDecision::Drop
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let claims = |parent: &Context| {
            let span = parent.span();
            let caller = span.span_context();
            caller.is_remote() && caller.is_sampled() && parent.get::<Stranger>().is_some()
        };
        if parent.is_some_and(claims) {
            let blurred = u128::from_be_bytes(trace_id.to_bytes()) ^ self.blur;
            return self.operators.should_sample(None, TraceId::from(blurred), name, kind, attributes, links);
        }
        self.operators.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::trace::Sampler;

    fn sampling(sampler: Sampler) -> Sampling {
        Sampling::by(Box::new(sampler))
    }

    fn parent_based(sampler: Sampler) -> Sampler {
        Sampler::ParentBased(Box::new(sampler))
    }

    #[test]
    fn a_stranger_has_nothing_recorded_that_would_not_be() {
        let id = TraceId::from(1 << 64);
        let ask = |sampling: &Sampling, parent: &Context| {
            is_recorded(&sampling.should_sample(Some(parent), id, "", &SpanKind::Server, &[], &[]))
        };
        let never = sampling(parent_based(Sampler::AlwaysOff));
        let always = sampling(parent_based(Sampler::AlwaysOn));
        for (sampling, wish, known, stranger) in [
            (&never, true, true, false),
            (&never, false, false, false),
            (&always, true, true, true),
            (&always, false, false, false),
        ] {
            assert_eq!(ask(sampling, &caller(id, wish)), known, "{sampling:?}, {wish}");
            let strangers = caller(id, wish).with_value(Stranger);
            assert_eq!(ask(sampling, &strangers), stranger, "{sampling:?}, {wish}");
        }
        // Of ids that are picked so that each would be taken, a share is.
        let picked = caller(id, true).with_value(Stranger);
        let half = parent_based(Sampler::TraceIdRatioBased(0.5));
        let taken = (0..64).filter(|_| ask(&sampling(half.clone()), &picked)).count();
        assert!((1..64).contains(&taken), "{taken}");
    }

    #[test]
    fn what_never_records_is_known_beforehand() {
        for (sampler, records) in [
            (Sampler::AlwaysOff, false),
            (Sampler::TraceIdRatioBased(0.0), false),
            (Sampler::TraceIdRatioBased(0.000_001), true),
            (Sampler::AlwaysOn, true),
            (parent_based(Sampler::AlwaysOff), true),
        ] {
            assert_eq!(sampling(sampler.clone()).records_anything(), records, "{sampler:?}");
        }
    }
}
