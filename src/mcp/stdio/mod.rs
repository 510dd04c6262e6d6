//! MCP over standard input and output, for a program on the machine of its user: the same server behind the same
//! admission, on a grant of the process's own.
//!
//! | file | |
//! |---|---|
//! | `grant.rs` | the grant: recorded at the start, put off while the process runs, ended with it |
//! | `lines.rs` | one message a line, of bounded length |
//! | `inlet.rs` | judges each line before MCP sees it |
//! | `outlet.rs` | what is under way, and the answers |
//! | `questions.rs` | what the client was asked |
//! | `updates.rs` | what a client of a revision before 2026-07-28 is told of without asking again |
//! | `refusal.rs` | what would have an HTTP status, as JSON-RPC errors |

mod grant;
mod inlet;
mod lines;
mod outlet;
mod questions;
mod refusal;
mod updates;

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server};
use rmcp::transport::Transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub use grant::{LocalGrant, NoGrant};

use super::admit::Admission;
use super::server::Server;
use super::surface::Surface;
use crate::app::App;
use inlet::Inlet;
use outlet::Outlet;

/// How many messages that were judged may wait for MCP.
const WAITING: usize = 16;
/// How often the grant is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(60);

/// Serves tickets until the input ends or the application is told to stop. What is under way is finished.
pub async fn serve<R, W>(app: &Arc<App>, grant: Arc<LocalGrant>, input: R, output: W)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    serve_for(app, &Arc::default(), grant, (input, output)).await;
}

/// Serves this until the input ends or the application is told to stop. What is under way is finished.
pub async fn serve_for<R, W>(
    app: &Arc<App>,
    surface: &Arc<Surface>,
    grant: Arc<LocalGrant>,
    (input, output): (R, W),
) where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let handler = Server::new(app.clone(), surface.clone());
    let (sender, judged) = mpsc::channel(WAITING);
    let outlet = Arc::new(Outlet::new(app.clone(), output));
    let admission = Admission::new(app.clone(), surface.clone());
    let inlet = Inlet::new(app.clone(), grant.clone(), (admission, surface), (outlet.clone(), sender));

    app.tasks.spawn(inlet.run(input));
    let serving = async {
        match Box::pin(serve_server(handler, Lines { judged, outlet })).await {
            Ok(running) => drop(running.waiting().await),
            // The input ended before anything was asked.
            Err(error) => tracing::debug!(%error, "nothing was served"),
        }
    };
    let mut serving = std::pin::pin!(serving);
    let mut ticks = tokio::time::interval(LOOK_AFTER);
    loop {
        tokio::select! {
            () = &mut serving => break,
            _ = ticks.tick() => {
                if let Err(error) = grant.token().await {
                    tracing::warn!(detail = error.detail.as_deref(), "the grant was not put off");
                }
            }
        }
    }
    app.stopping.cancel();
}

/// What the MCP library reads and writes: messages that were judged, and answers.
struct Lines<W> {
    judged: mpsc::Receiver<ClientJsonRpcMessage>,
    outlet: Arc<Outlet<W>>,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Transport<RoleServer> for Lines<W> {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let outlet = self.outlet.clone();
        async move { outlet.send(message).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.judged.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.judged.close();
        Ok(())
    }
}
