//! What the client was asked, as long as somebody waits for the answer.

use std::sync::{Mutex, PoisonError};

use rmcp::model::{GetExtensions as _, JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerNotification};
use rmcp::service::OriginatingRequestId;

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Vec<Question>>);

#[derive(Debug)]
struct Question {
    id: RequestId,
    /// The client's request that it was asked for.
    of: Option<RequestId>,
}

impl Questions {
    /// Notes what goes out: a question, or that one is withdrawn, as one that was not answered in time.
    pub(super) fn note(&self, message: &ServerJsonRpcMessage) {
        match message {
            JsonRpcMessage::Request(request) => {
                let of = request.request.extensions().get::<OriginatingRequestId>();
                let question = Question { id: request.id.clone(), of: of.map(|of| of.0.clone()) };
                self.with(|open| open.push(question));
            }
            JsonRpcMessage::Notification(told) => {
                if let ServerNotification::CancelledNotification(cancelled) = &told.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.take(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
    }

    /// Takes a question away. `false` when it is not open.
    pub(super) fn take(&self, id: &RequestId) -> bool {
        self.with(|open| {
            let before = open.len();
            open.retain(|question| question.id != *id);
            open.len() < before
        })
    }

    /// Takes those away that were asked for a request which is over.
    pub(super) fn end(&self, request: &RequestId) {
        self.with(|open| open.retain(|question| question.of.as_ref() != Some(request)));
    }

    /// Takes all away.
    pub(super) fn take_all(&self) -> Vec<RequestId> {
        self.with(std::mem::take).into_iter().map(|question| question.id).collect()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Question>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::{CancelledNotification, CancelledNotificationParam, PingRequest, ServerRequest};

    fn ask(questions: &Questions, id: i64, of: i64) {
        let mut request = ServerRequest::PingRequest(PingRequest::default());
        request.extensions_mut().insert(OriginatingRequestId(RequestId::Number(of)));
        questions.note(&JsonRpcMessage::request(request, RequestId::Number(id)));
    }

    #[test]
    fn a_question_is_open_until_it_is_answered_or_nobody_waits_for_it() {
        let questions = Questions::default();
        for (id, of) in [(1, 10), (2, 10), (3, 11), (4, 12)] {
            ask(&questions, id, of);
        }
        assert!(questions.take(&RequestId::Number(3)));
        assert!(!questions.take(&RequestId::Number(3)), "one answer is enough");
        questions.end(&RequestId::Number(10));
        let params = CancelledNotificationParam::new(Some(RequestId::Number(4)), None);
        let withdrawn = ServerNotification::CancelledNotification(CancelledNotification::new(params));
        questions.note(&JsonRpcMessage::notification(withdrawn));
        for id in 1..=4 {
            assert!(!questions.take(&RequestId::Number(id)), "{id}");
        }
        ask(&questions, 5, 13);
        assert_eq!(questions.take_all(), [RequestId::Number(5)]);
        assert_eq!(questions.take_all(), []);
    }
}
