//! The CA on a coordinator's disk: sealed, so that a copied file alone opens nothing.
//!
//! `ca-<fingerprint>.sealed` holds certificate and key of one CA. It opens with the node's own key,
//! so that a coordinator starts without its operator, and with the recovery key.

use std::fs;
use std::io;

use zeroize::Zeroizing;

use super::ca::{CaFingerprint, ClusterCa};
use super::durable_file::{PRIVATE, PUBLIC, sync_folder};
use super::error::IdentityError;
use super::recovery_key::RecoveryKey;
use super::sealed::{self, SealingPublic, SealingSecret};
use super::store::{CA_CERTIFICATE, IdentityStore, file_error};

const RECOVERY_PUBLIC: &str = "recovery.pub";
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";
/// How earlier versions kept it.
const PLAIN_CA_KEY: &str = "ca.key";

impl IdentityStore {
    /// The CA that signs now, coordinators only: the first of `ca.crt`.
    pub fn load_ca(&self) -> Result<Option<ClusterCa>, IdentityError> {
        let Some(bundle) = self.read(CA_CERTIFICATE)? else { return Ok(None) };
        if let Some(key) = self.read(PLAIN_CA_KEY)?.map(Zeroizing::new) {
            self.save_ca(&ClusterCa::from_pem(&bundle, &key)?)?;
            self.remove(PLAIN_CA_KEY)?;
        }
        self.load_ca_of(CaFingerprint::of_pem(&bundle)?)
    }

    /// The CA with this fingerprint, if this coordinator holds its key.
    pub fn load_ca_of(&self, ca: CaFingerprint) -> Result<Option<ClusterCa>, IdentityError> {
        self.open_ca(ca, &self.node_key()?.sealing_secret())
    }

    /// Like `load_ca_of` on another machine, with the recovery key.
    pub fn recover_ca(
        &self,
        ca: CaFingerprint,
        key: &RecoveryKey,
    ) -> Result<Option<ClusterCa>, IdentityError> {
        self.open_ca(ca, key.secret())
    }

    /// Seals the CA for this node and for the recovery key, as far as that is known.
    pub fn save_ca(&self, ca: &ClusterCa) -> Result<(), IdentityError> {
        let mut holders = vec![self.node_key()?.sealing_secret().public()];
        holders.extend(self.recovery()?);
        let key = ca.key_pem();
        let text = Zeroizing::new(format!("{}{}", ca.certificate_pem(), *key));
        let sealed = sealed::seal(text.as_bytes(), &holders)?;
        self.write(&file_name(ca.fingerprint()), &sealed, PRIVATE)
    }

    /// Drops the key of a CA that is not used any more.
    pub fn forget_ca(&self, ca: CaFingerprint) -> Result<(), IdentityError> {
        self.remove(&file_name(ca))
    }

    /// The recovery key's public half.
    pub fn recovery(&self) -> Result<Option<SealingPublic>, IdentityError> {
        self.read(RECOVERY_PUBLIC)?.map(|text| text.parse()).transpose()
    }

    /// What `save_ca` seals for from now on.
    pub fn save_recovery(&self, public: SealingPublic) -> Result<(), IdentityError> {
        self.write(RECOVERY_PUBLIC, public.to_string().as_bytes(), PUBLIC)
    }

    fn open_ca(
        &self,
        fingerprint: CaFingerprint,
        secret: &SealingSecret,
    ) -> Result<Option<ClusterCa>, IdentityError> {
        let path = self.folder().join(file_name(fingerprint));
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(&path, &error)),
        };
        let text = sealed::open(&sealed, secret).map_err(|error| file_error(&path, &error))?;
        let text = std::str::from_utf8(&text).map_err(|error| file_error(&path, &error))?;
        let (certificate, key) = text
            .find(KEY_BEGINS)
            .map(|at| text.split_at(at))
            .ok_or_else(|| file_error(&path, &"it holds no key"))?;
        let ca = ClusterCa::from_pem(certificate, key)?;
        if ca.fingerprint() != fingerprint {
            let found = format!("it holds the CA {}", ca.fingerprint().short());
            return Err(file_error(&path, &found));
        }
        Ok(Some(ca))
    }

    fn remove(&self, name: &str) -> Result<(), IdentityError> {
        let path = self.folder().join(name);
        match fs::remove_file(&path).and_then(|()| sync_folder(self.folder())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(&path, &error)),
            _ => Ok(()),
        }
    }
}

fn file_name(ca: CaFingerprint) -> String {
    format!("ca-{}.sealed", ca.short())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, IdentityStore) {
        let folder = tempfile::tempdir().expect("folder");
        let store = IdentityStore::open(folder.path()).expect("opens");
        (folder, store)
    }

    fn trust(store: &IdentityStore, ca: &ClusterCa) {
        store.write(CA_CERTIFICATE, ca.certificate_pem().as_bytes(), PUBLIC).expect("written");
    }

    #[test]
    fn the_ca_opens_with_the_nodes_key_and_the_recovery_key_and_is_nowhere_in_the_clear() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let recovery = RecoveryKey::generate();
        let (_a, store) = store();
        store.save_recovery(recovery.public()).expect("written");
        store.save_ca(&ca).expect("written");
        trust(&store, &ca);
        let again = store.load_ca().expect("opens").expect("is there");
        assert_eq!(again.fingerprint(), ca.fingerprint());

        let file = store.folder().join(file_name(ca.fingerprint()));
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let secret = ca.key_pem();
        let line = secret.lines().nth(1).expect("a key");
        let bytes = fs::read(&file).expect("readable");
        assert!(!bytes.windows(line.len()).any(|window| window == line.as_bytes()));

        // Copied to another machine it opens with the recovery key alone.
        let (_b, elsewhere) = self::store();
        fs::copy(&file, elsewhere.folder().join(file_name(ca.fingerprint()))).expect("copied");
        trust(&elsewhere, &ca);
        let refused = elsewhere.load_ca().map(drop).expect_err("not its key").to_string();
        assert!(refused.contains("none of the 2 keys"), "{refused}");
        let recovered = elsewhere.recover_ca(ca.fingerprint(), &recovery).expect("opens");
        assert_eq!(recovered.map(|ca| ca.fingerprint()), Some(ca.fingerprint()));
        let other = RecoveryKey::generate();
        assert!(elsewhere.recover_ca(ca.fingerprint(), &other).is_err());
    }

    #[test]
    fn a_plain_key_of_an_earlier_version_is_sealed_when_it_is_first_read() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let (_folder, store) = store();
        trust(&store, &ca);
        store.write(PLAIN_CA_KEY, ca.key_pem().as_bytes(), PRIVATE).expect("written");
        for _ in 0..2 {
            let read = store.load_ca().expect("opens").expect("is there");
            assert_eq!(read.fingerprint(), ca.fingerprint());
            assert!(!store.folder().join(PLAIN_CA_KEY).exists());
        }
    }
}
