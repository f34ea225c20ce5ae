//! TLS before a plain server on loopback, by a certificate that only who is told trusts.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Speaks TLS as `localhost`, and passes what it is told to a plain server.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    certificate: String,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Before the server at this port on loopback.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn before(port: u16) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(acceptor.clone(), near, port));
            }
        });
        Self { address, certificate: made.cert.pem(), task }
    }

    /// Where it listens, by the name of this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its certificate (PEM), for those who are to trust it.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whoever does not trust the certificate is gone before anything is said.
async fn carry(acceptor: TlsAcceptor, near: TcpStream, port: u16) -> Option<()> {
    let mut near = acceptor.accept(near).await.ok()?;
    let mut far = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok().map(drop)
}
