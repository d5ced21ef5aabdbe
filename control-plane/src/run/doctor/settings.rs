//! Flags, the certificate and the keys: what is known without a database.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use time::OffsetDateTime;

use super::finding::Finding;
use crate::{
    auth::{
        now,
        tokens::{KeyRingFile, KeyState},
    },
    days::in_days,
    failure::chain,
    run::{
        flags::{CadenceFlags, RetentionFlags},
        reach::{ReachError, ReachFlags, doubt},
    },
    server::tls::Transport,
    settings::{Keep, Retention},
};

/// Renewals are late when a certificate gets this old.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(super) fn cadence(flags: &CadenceFlags) -> Finding {
    match flags.check() {
        Ok(cadence) => Finding::ok(
            "cadence",
            format!(
                "a beat each {:?}, degraded after {:?}, offline after {:?}",
                cadence.heartbeat_interval(),
                cadence.degraded_after(),
                cadence.offline_after()
            ),
        ),
        Err(error) => Finding::failed("cadence", error.to_string(), "Change the flags or their variables"),
    }
}

/// What is kept for how long; the command line has refused what is no such length.
pub(super) fn retention(flags: &RetentionFlags) -> Finding {
    let Retention { interval: _, offline_nodes, spans, audit, logs: _ } = flags.retention();
    let [nodes, spans, audit] = [offline_nodes, spans, audit].map(|keep| match keep {
        Keep::Forever => "for ever".to_owned(),
        Keep::For(duration) => format!("for {}", in_days(duration)),
    });
    Finding::ok("retention", format!("offline nodes are kept {nodes}, spans {spans}, the audit {audit}"))
}

pub(super) fn keys(path: Option<PathBuf>) -> Finding {
    let Some(path) = path else {
        return Finding::failed(
            "keys",
            "no file of token keys is named",
            "Say --token-keys or ROLLCALL_TOKEN_KEYS; `rollcall keys create` makes one",
        );
    };
    match KeyRingFile::new(path).load() {
        Ok(ring) => {
            let verifying = ring.keys().filter(|(state, _)| *state == KeyState::Verifying).count();
            Finding::ok("keys", format!("{} signs, {verifying} more verify", ring.signing().kid()))
        }
        Err(error) => Finding::failed(
            "keys",
            chain(&error),
            "`rollcall keys create` makes a file; every server of an installation has the same one, mode 0600",
        ),
    }
}

/// Where clients reach the server, and the certificate if there is to be one.
pub(super) async fn reach(flags: &ReachFlags) -> Vec<Finding> {
    let transport = match flags.transport().await {
        Ok(transport) => transport,
        Err(error) => return vec![refused(&error)],
    };
    let mut findings = vec![address(flags, &transport)];
    if let Transport::Tls(tls) = &transport {
        findings.push(certificate(tls.expires_at(), now(), tls.key_is_open().await));
    }
    findings
}

fn refused(error: &ReachError) -> Finding {
    let (check, advice) = match error {
        ReachError::InClear(_) => (
            "address",
            "Give a certificate with --tls-cert and --tls-key; or put a proxy that speaks TLS in front and say \
             --allow-plaintext; or listen on 127.0.0.1",
        ),
        ReachError::AdvertisedInClear(_) => ("address", "Say https://, or only HOST:PORT"),
        ReachError::Certificate(_) => ("certificate", "Name the files of a certificate and its key, in PEM"),
    };
    let text = chain(error);
    // `serve` has the hint with the error, and here it stands for itself.
    let detail = text.split_once("\nhint: ").map_or(text.as_str(), |(detail, _)| detail);
    Finding::failed(check, detail, advice)
}

fn address(flags: &ReachFlags, transport: &Transport) -> Finding {
    let listen: SocketAddr = flags.listen;
    match flags.advertised(transport, listen) {
        Err(error) => refused(&error),
        Ok(advertised) => match (doubt(transport, advertised.as_ref()), advertised) {
            (Some(doubt), _) => Finding::warning("address", doubt, "Clients of a standby would not find it"),
            (None, Some(address)) => {
                Finding::ok("address", format!("listens on {listen}, called by {address}"))
            }
            (None, None) => Finding::ok("address", format!("listens on {listen}")),
        },
    }
}

/// What there is to say about one that can be served.
fn certificate(expires_at: Option<OffsetDateTime>, now: OffsetDateTime, key_is_open: bool) -> Finding {
    if key_is_open {
        return Finding::warning(
            "certificate",
            "every user of this machine can read its key",
            "Run chmod o= on the file of --tls-key",
        );
    }
    match expires_at {
        Some(at) if at - now < CERTIFICATE_LEFT_MIN => Finding::warning(
            "certificate",
            format!("it expires at {at}"),
            "Renew it; the server takes the new files without a restart",
        ),
        Some(at) => Finding::ok("certificate", format!("good until {at}")),
        None => Finding::ok("certificate", "can be served"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::doctor::finding::Verdict;

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let verdict = |left: Duration, open| certificate(Some(now + left), now, open).verdict;
        assert_eq!(verdict(CERTIFICATE_LEFT_MIN, false), Verdict::Ok);
        assert_eq!(verdict(CERTIFICATE_LEFT_MIN - Duration::from_secs(1), false), Verdict::Warning);
        assert_eq!(verdict(CERTIFICATE_LEFT_MIN, true), Verdict::Warning);
    }
}
