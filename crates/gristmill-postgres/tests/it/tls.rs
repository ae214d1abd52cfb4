//! `sslmode` and `sslrootcert`, against a server with a certificate of an authority made for the test.

use std::path::PathBuf;

use gristmill_core::{Env, Store, StoreErrorKind};
use gristmill_postgres::PostgresStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::cluster::Cluster;
use crate::common::Schema;

/// Somebody who signs certificates.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A PEM file that goes away with the test.
struct Pem(PathBuf);

impl Pem {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gristmill-{}-{name}.pem", Env::system().fence().as_uuid().simple()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Pem {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_means_what_libpq_means_by_it() {
    let (ours, others) = (authority("ours"), authority("others"));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let server = Cluster::start(&[]);
    server.write("server.crt", &certificate.pem());
    server.write("server.key", &key.serialize_pem());
    server.set("ssl = on");
    let (ours, others) = (Pem::new("ours", &ours.pem()), Pem::new("others", &others.pem()));
    let (ours, others) = (ours.0.display(), others.0.display());
    let (right, wrong) = (server.url().replace("127.0.0.1", "localhost"), server.url());

    // Encrypted, as the server sees it.
    for (url, encrypted) in [
        (format!("{right}?sslmode=disable"), "f"),
        (right.clone(), "t"),
        (format!("{right}?sslmode=require"), "t"),
        (format!("{right}?sslmode=require&sslrootcert={ours}"), "t"),
        (format!("{right}?sslmode=verify-full&sslrootcert={ours}"), "t"),
        (format!("{wrong}?sslmode=verify-ca&sslrootcert={ours}"), "t"),
    ] {
        let url = format!("{url}{}application_name=asked", if url.contains('?') { '&' } else { '?' });
        let store = PostgresStore::connect(&url, Env::system()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let seen = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'asked'";
        assert_eq!(server.sql(seen), encrypted, "{url}");
        store.close();
        drop(store);
        server.sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'asked'");
    }

    for (url, kind, says) in [
        (format!("{right}?sslmode=verify-full&sslrootcert={others}"), StoreErrorKind::Unreachable, "name the authority's file"),
        (format!("{right}?sslmode=verify-ca&sslrootcert={others}"), StoreErrorKind::Unreachable, "name the authority's file"),
        (format!("{right}?sslmode=require&sslrootcert={others}"), StoreErrorKind::Unreachable, "name the authority's file"),
        (format!("{right}?sslmode=verify-full"), StoreErrorKind::Unreachable, "name the authority's file"),
        (format!("{wrong}?sslmode=verify-full&sslrootcert={ours}"), StoreErrorKind::Unreachable, "use the host name that is in"),
        (format!("{right}?sslmode=verify-full&sslrootcert=/no/such.pem"), StoreErrorKind::Invalid, "PEM file"),
    ] {
        let error = PostgresStore::connect(&url, Env::system()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(error.to_string().contains(says), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_good_enough_for_prefer_and_for_nothing_above_it() {
    let schema = Schema::new();
    let store = PostgresStore::connect(&schema.url("&sslmode=prefer"), Env::system()).await.unwrap();
    store.queues().await.unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = PostgresStore::connect(&schema.url(&format!("&sslmode={mode}")), Env::system()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unreachable);
        assert!(error.to_string().contains("the server offers no TLS, which sslmode requires"), "{error}");
    }
}
