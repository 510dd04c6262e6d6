//! Proxies named by the environment are not used.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

/// A process reads its environment once, so the fetch runs in a child: this test binary again, with
/// only the test of a plain fetch.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let fetch = "web::outbound::tests::guard::a_listed_host_with_a_trusted_certificate_is_fetched";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", fetch]).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, &address).env(name.to_ascii_lowercase(), &address);
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
