//! Names of sound cards that survive replugging and reboots: the kernel's list of cards, read from sysfs.
//!
//! `usb:VENDOR:PRODUCT[:SERIAL]` names a USB device by what is burnt into it, `bus:PATH` whatever is plugged in at one
//! place. Card numbers are given in the order of plugging in, so that they are no names.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A sound card as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) number: u32,
    /// Its short name in ALSA, `Mic`.
    pub(super) id: String,
    /// `usb:VENDOR:PRODUCT:SERIAL`, `usb:VENDOR:PRODUCT`; none where it is no USB device.
    usb: Option<String>,
    /// `bus:PATH`.
    bus: Option<String>,
}

impl Card {
    /// The name to configure: by what it is, else by where it is.
    pub(super) fn stable(&self) -> Option<&str> {
        self.usb.as_deref().or(self.bus.as_deref())
    }

    fn is(&self, name: &str) -> bool {
        let same =
            |own: &str| own == name || own.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        self.bus.as_deref() == Some(name) || self.usb.as_deref().is_some_and(same)
    }
}

/// Whether `name` is one of these.
pub(super) fn is_stable(name: &str) -> bool {
    let rest =
        |kind: &str| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty() && !rest.contains(' '));
    rest("bus:") || (rest("usb:") && name.matches(':').count() >= 2)
}

/// The cards that there are now, by number. `sysfs` is `/sys`, or where that of the host is mounted.
pub(super) fn cards(sysfs: &Path) -> Vec<Card> {
    let entries = fs::read_dir(sysfs.join("class/sound"));
    let mut cards: Vec<Card> =
        entries.into_iter().flatten().flatten().filter_map(|e| card(&e.path())).collect();
    cards.sort_by_key(|card| card.number);
    cards
}

/// The card called `name`.
///
/// # Errors
/// A device error when it is not there, or when several answer to the name.
pub(super) fn find(sysfs: &Path, name: &str) -> Result<Card> {
    let cards = cards(sysfs);
    let mut named = cards.iter().filter(|card| card.is(name));
    match (named.next(), named.next()) {
        (Some(card), None) => Ok(card.clone()),
        (Some(_), Some(_)) => {
            let places: Vec<&str> =
                cards.iter().filter(|c| c.is(name)).filter_map(|c| c.bus.as_deref()).collect();
            Err(Error::device(
                format!("several devices are called {name:?}"),
                format!("name the one that is meant by its place: {}", places.join(", ")),
            ))
        }
        (None, _) => {
            let there: Vec<&str> = cards.iter().filter_map(Card::stable).collect();
            let there = if there.is_empty() { "there is no card".to_owned() } else { there.join(", ") };
            Err(Error::device(
                format!("the device {name:?} is not there; now: {there}"),
                "plug it in; `cpc-stream devices` lists what is there",
            ))
        }
    }
}

fn card(folder: &Path) -> Option<Card> {
    let number = folder.file_name()?.to_str()?.strip_prefix("card")?.parse().ok()?;
    let device = fs::canonicalize(folder.join("device")).ok();
    let id = text(&folder.join("id")).unwrap_or_else(|| number_name(number));
    let usb = device.as_deref().and_then(usb);
    let bus = device.as_deref().and_then(bus);
    Some(Card { number, id, usb, bus })
}

fn number_name(number: u32) -> String {
    number.to_string()
}

/// A line of sysfs, with blanks made `_`: serial numbers may hold anything.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim().replace(|c: char| c.is_whitespace() || c.is_control(), "_");
    (!text.is_empty() && text.len() <= 128).then_some(text)
}

/// Vendor, product and serial number of the USB device of `device`.
fn usb(device: &Path) -> Option<String> {
    let device: PathBuf = device.ancestors().take(4).find(|path| path.join("idVendor").exists())?.to_owned();
    let (vendor, product) = (text(&device.join("idVendor"))?, text(&device.join("idProduct"))?);
    Some(match text(&device.join("serial")) {
        Some(serial) => format!("usb:{vendor}:{product}:{serial}"),
        None => format!("usb:{vendor}:{product}"),
    })
}

/// Where it is plugged in. The number of a USB bus changes with reboots, so that the controller stands for it.
fn bus(device: &Path) -> Option<String> {
    let parts: Vec<&str> = device.iter().filter_map(|part| part.to_str()).collect();
    let last = parts.last()?;
    let root =
        parts.iter().position(|part| part.strip_prefix("usb").is_some_and(|n| n.parse::<u32>().is_ok()));
    let controller = root.and_then(|at| parts.get(at.checked_sub(1)?));
    Some(match (controller, last.split_once('-')) {
        (Some(controller), Some((_, port))) => format!("bus:{controller}-usb-{port}"),
        _ => format!("bus:{last}"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const HOST: &str = "devices/pci0000:00/0000:00:14.0";

    /// A card plugged in at `port` of USB bus `bus`.
    fn plug(sysfs: &Path, number: u32, port: &str, serial: Option<&str>) {
        let bus = port.split('-').next().unwrap();
        let device = sysfs.join(HOST).join(format!("usb{bus}/{port}"));
        let interface = device.join(format!("{port}:1.0"));
        fs::create_dir_all(&interface).unwrap();
        fs::write(device.join("idVendor"), "0d8c\n").unwrap();
        fs::write(device.join("idProduct"), "0014\n").unwrap();
        if let Some(serial) = serial {
            fs::write(device.join("serial"), format!("{serial}\n")).unwrap();
        }
        let folder = sysfs.join(format!("class/sound/card{number}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("id"), format!("Mic{number}\n")).unwrap();
        symlink(&interface, folder.join("device")).unwrap();
    }

    #[test]
    fn names_stay_when_numbers_change() {
        let sysfs = tempfile::tempdir().unwrap();
        let root = sysfs.path();
        assert!(find(root, "usb:0d8c:0014").unwrap_err().to_string().contains("there is no card"));
        plug(root, 3, "1-2", Some("AB 12"));
        for name in ["usb:0d8c:0014", "usb:0d8c:0014:AB_12", "bus:0000:00:14.0-usb-2:1.0"] {
            assert!(is_stable(name));
            assert_eq!(find(root, name).unwrap().number, 3, "{name}");
        }
        assert_eq!(cards(root)[0].stable(), Some("usb:0d8c:0014:AB_12"));
        assert_eq!(cards(root)[0].id, "Mic3");
        let missing = find(root, "usb:0d8c:0014:AB").unwrap_err();
        assert!(missing.to_string().contains("usb:0d8c:0014:AB_12"), "{missing}");

        plug(root, 5, "2-1", None);
        let error = find(root, "usb:0d8c:0014").unwrap_err();
        assert!(error.to_string().contains("several"), "{error}");
        assert!(error.fix().contains("bus:0000:00:14.0-usb-1:1.0"), "{}", error.fix());
        assert_eq!(find(root, "bus:0000:00:14.0-usb-1:1.0").unwrap().number, 5);
    }

    #[test]
    fn cards_that_are_no_usb_have_a_place_and_none_have_no_device() {
        let sysfs = tempfile::tempdir().unwrap();
        let root = sysfs.path();
        let device = root.join("devices/pci0000:00/0000:00:1f.3");
        fs::create_dir_all(&device).unwrap();
        for number in 0..2 {
            fs::create_dir_all(root.join(format!("class/sound/card{number}"))).unwrap();
        }
        fs::create_dir_all(root.join("class/sound/pcmC0D0c")).unwrap();
        symlink(&device, root.join("class/sound/card0/device")).unwrap();
        let found = cards(root);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].stable(), found[1].stable()), (Some("bus:0000:00:1f.3"), None));
        for name in ["hw:0", "usb:", "usb:0d8c", "bus:", "bus:a b"] {
            assert!(!is_stable(name), "{name}");
        }
    }
}
