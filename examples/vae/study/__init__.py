"""What swapping KL for transport does to the latent space of a β-VAE: a study that reproduces itself.

    cd examples/vae && .venv/bin/python -m study [--quick | --full] [--only r1,r3] [--data DIR]

Every number comes from a cell, one training run or one estimate, that is a pure function of its parameters and is kept
under out/study as soon as it is there: what was interrupted goes on where it was. `cells` says what a cell is, `store`
keeps them, `runner` computes what is missing, `report` writes what was found.

A part `rN` is two modules: `rN_cells` computes one cell, and a change of it makes its cells anew; `rN` says which cells
there are, draws them and concludes. Conclusions are sentences that code makes of the rows: where the rows turn around,
so do they.
"""
