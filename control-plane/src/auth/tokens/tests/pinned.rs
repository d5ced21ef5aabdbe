//! What earlier releases wrote stays readable.

use super::super::ring_format;
use super::*;

/// The key of test 1 in RFC 8032, section 7.1.
const RING: &str = r#"{
  "format": "rollcall-key-ring",
  "version": 1,
  "keys": [
    {
      "kid": "6c31041268f47160",
      "state": "signing",
      "created_at": "2026-03-01T12:00:00Z",
      "public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "seed": "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    }
  ]
}
"#;

/// Made by another implementation.
const TOKEN: &str = "\
    v4.public.eyJzdWIiOiIwMTkwYTZjNC04ZjJlLTdkMzEtOWI1Ny0zYzFlNWE3ZjlkMjAiLCJzY29wZSI6Im5vZGUgYWRtaW\
    4iLCJhdWQiOiJyb2xsY2FsbCIsImV4cCI6IjIwMjYtMDMtMDFUMTI6MTU6MDBaIiwiaWF0IjoiMjAyNi0wMy0wMVQxMjowMD\
    owMFoiLCJqdGkiOiIwMTljYThmNi0xYTAwLTdhYmMtOGRlZi0wMTIzNDU2Nzg5YWIifcNiVGTGbo6ENy88zQ4Nemn2KehmCE\
    OZBBA1csj4jFBmJf6MuGwTVCGxzpAHbR8PL3xWGfeAlnKEDU6NyxggJAE.eyJraWQiOiI2YzMxMDQxMjY4ZjQ3MTYwIn0";

#[test]
fn the_first_version_of_the_file_is_read_and_written_unchanged() {
    let ring = ring_format::read(RING.as_bytes()).unwrap();
    assert_eq!(str::from_utf8(&ring_format::write(&ring).unwrap()).unwrap(), RING);
}

#[test]
fn a_token_of_the_first_release_is_valid_and_would_be_signed_the_same() {
    let ring = ring_format::read(RING.as_bytes()).unwrap();
    let claims = verify(&ring, TOKEN, NOW).unwrap();
    assert_eq!(claims.participant.to_string(), "0190a6c4-8f2e-7d31-9b57-3c1e5a7f9d20");
    assert_eq!(claims.scopes, Scopes::from(Scope::Node).with(Scope::Admin));
    assert_eq!((claims.issued_at, claims.expires_at), (NOW, at("2026-03-01T12:15:00Z")));
    let payload = serde_json::to_string(&Payload::from(&claims)).unwrap();
    assert_eq!(sign(ring.signing(), &payload).unwrap().reveal(), TOKEN);
}
