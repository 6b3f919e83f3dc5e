//! The recovery key of `cluster init` opens the CA on a machine that has nothing but the file.

use std::process::Command;

use protocol::identity::{CaFingerprint, IdentityStore, RecoveryKey};
use tests::process::binary;

fn init(folder: &std::path::Path) -> std::process::Output {
    let data_dir = folder.join("c1").display().to_string();
    Command::new(binary())
        .args(["cluster", "init", "--name", "test", "--data-dir", &data_dir])
        .env("XDG_CONFIG_HOME", folder)
        .output()
        .expect("the binary starts")
}

#[test]
fn init_shows_a_recovery_key_that_opens_a_copy_of_the_sealed_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = init(folder.path());
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}");
    let key = shown.lines().map(str::trim).find(|line| line.starts_with("trr1-"));
    let key: RecoveryKey = key.expect("a recovery key").parse().expect("whole");

    let from = folder.path().join("c1/identity");
    let elsewhere = IdentityStore::open(&folder.path().join("new")).expect("opens");
    let mut sealed = 0;
    for entry in std::fs::read_dir(&from).expect("readable") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let content = std::fs::read(&path).expect("readable");
        if name.ends_with(".sealed") {
            sealed += 1;
            std::fs::copy(&path, elsewhere.folder().join(&name)).expect("copied");
        } else if name != "node.key" {
            let text = String::from_utf8_lossy(&content);
            assert!(!text.contains("PRIVATE KEY"), "{name} holds a key in the clear");
        }
    }
    assert_eq!(sealed, 1);
    let ca = std::fs::read_to_string(from.join("ca.crt")).expect("readable");
    let ca = CaFingerprint::of_pem(&ca).expect("a CA");
    assert!(elsewhere.load_ca_of(ca).is_err(), "the file alone is useless");
    let recovered = elsewhere.recover_ca(ca, &key).expect("opens").expect("is there");
    assert_eq!((recovered.cluster(), recovered.fingerprint()), ("test", ca));
}
