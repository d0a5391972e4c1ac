//! z and c are what PyTorch computes with the same weights (a CPC_audio checkpoint, its own padding).

use crate::support::golden::{array, folder, input, largest_difference};
use cpc_stream::internal::encode::Padding;
use cpc_stream::internal::model::Cpc;
use cpc_stream::internal::model::import::{ImportOptions, import};

#[test]
fn latents_and_contexts_match_pytorch() {
    let golden = |name: &str| array(&folder("").join(name));
    let imported = import(&folder("").join("checkpoint.pt"), &ImportOptions::default()).unwrap();
    let cpc = Cpc::load(&imported.tensors, &imported.architecture).unwrap();
    let (z, c) = cpc.features(&input(), Padding::FbExact).unwrap();
    let (dz, dc) = (
        largest_difference(&z.squeeze(0).unwrap(), &golden("z.npy")),
        largest_difference(&c.squeeze(0).unwrap(), &golden("c.npy")),
    );
    assert!(dz <= 1e-4 && dc <= 1e-4, "z differs by {dz}, c by {dc}");
    // heads.npy holds W_k, [K, d, h]; a prediction is W_k c
    let context = golden("c.npy").narrow(0, 5, 1).unwrap();
    let found = cpc.heads().unwrap().predict_all(&context.unsqueeze(0).unwrap()).unwrap().squeeze(0).unwrap();
    let heads = golden("heads.npy");
    assert_eq!(heads.dims(), &[12, 32, 32]);
    for k in 0..12 {
        let expected =
            context.matmul(&heads.narrow(0, k, 1).unwrap().squeeze(0).unwrap().t().unwrap()).unwrap();
        let expected = (expected / 32.0).unwrap();
        assert!(largest_difference(&found.narrow(0, k, 1).unwrap().squeeze(0).unwrap(), &expected) < 1e-5);
    }
}
