//! The model card's front matter and citation say what the models and the package say.

use std::fs;

use regex_lite::Regex;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::documents_hold::{read, root};

/// The manifest of a model that ships.
fn manifest(name: &str) -> Value {
    let bytes = fs::read(root().join("models").join(format!("{name}.safetensors"))).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cpc-stream.manifest"]).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

#[test]
fn front_matter_and_citation_agree_with_the_models() {
    let card = read(&root().join("models/README.md"));
    let (front, prose) = card.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).unwrap();
    let front: Value = yaml_serde::from_str(front).unwrap();

    let spdx = |id: String| id.to_uppercase().replace("APACHE", "Apache");
    let licence = strings(&front["license"]).into_iter().map(spdx).collect::<Vec<_>>().join(" OR ");
    assert_eq!(licence, env!("CARGO_PKG_LICENSE"));
    assert_eq!(front["library_name"], env!("CARGO_PKG_NAME"));
    assert!(prose.contains(&format!("Licence of the weights: `{licence}`")));

    // collections by the names of the table of training data, however they are written there
    let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "");
    let table = plain(prose.split_once("## Training data").unwrap().1.split_once("\n## ").unwrap().0);
    let rows = table.lines().filter(|line| line.starts_with("| ") || line.starts_with('|')).count() - 2;
    let datasets = strings(&front["datasets"]);
    assert_eq!(datasets.len(), rows, "a dataset a row of the table");
    for dataset in datasets {
        assert!(table.contains(&plain(&dataset)), "{dataset}");
    }

    for model in front["model-index"].as_array().unwrap() {
        let manifest = manifest(model["name"].as_str().unwrap());
        assert!(manifest["licence"].as_str().unwrap().starts_with(&licence));
        let (measured, [result]) =
            (&manifest["training"]["validation"], model["results"].as_array().unwrap().as_slice())
        else {
            panic!("a result a model")
        };
        for metric in result["metrics"].as_array().unwrap() {
            let kind = metric["type"].as_str().unwrap();
            let [told, found] = [&metric["value"], &measured[kind]].map(|value| value.as_f64().unwrap());
            assert!((told - found).abs() < 6e-4, "{kind}: {told} in the card, {found} in the model");
        }
        let candidates = format!("among {} candidates", measured["negatives"].as_u64().unwrap() + 1);
        assert!(result["task"]["name"].as_str().unwrap().ends_with(&candidates));
        let clips = format!("{} clips", measured["clips"]);
        assert!(result["dataset"]["name"].as_str().unwrap().starts_with(&clips));
    }

    let citation: Value = yaml_serde::from_str(&read(&root().join("CITATION.cff"))).unwrap();
    assert_eq!(citation["version"], env!("CARGO_PKG_VERSION"));
    let article = &citation["references"][0];
    let field = |name: &str| Regex::new(&format!(r"{name}\s*= \{{(.*)\}}")).unwrap();
    let told = |name: &str| -> Vec<String> {
        let bibtex = prose.split_once("```bibtex\n").unwrap().1.split_once("```").unwrap().0;
        field(name).captures_iter(bibtex).map(|found| found[1].to_owned()).collect()
    };
    assert_eq!(told("title"), [&citation["title"], &article["title"]].map(|title| title.as_str().unwrap()));
    assert_eq!(told("version"), [env!("CARGO_PKG_VERSION")]);
    assert_eq!(told("year"), [article["year"].to_string()]);
    assert_eq!(told("url"), [article["url"].as_str().unwrap()]);
    assert!(told("author")[0].contains(citation["authors"][0]["name"].as_str().unwrap()));
    for author in article["authors"].as_array().unwrap() {
        assert!(told("author")[1].contains(author["family-names"].as_str().unwrap()));
    }
}
