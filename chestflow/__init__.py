"""The code behind the stages. Every package says in its docstring what it holds.

    sources                  downloads, archives, phantoms
    data                     arrays of images, binary labels
    models                   classifier, autoencoder, checkpoints
    training                 the loop, early stopping, averaging, freezing, augmentation
    explain                  GradCAM and how it is judged
    framing.py, stress.py    the audit of the framing; the stress set
    metrics                  scores, intervals, paired tests, latent spaces
    plots                    one file per figure
    report                   the page of answers
    own_images               the user's own radiographs
    commands, cli.py         the command `chestflow`
    config, stage.py         params.yaml and datasets.yaml; a stage as a command
    files.py, formatting.py  JSON and CSV; numbers as text
    history.py, errors.py    epochs of a run; mistakes that the user can fix

Most modules know nothing of DVC or paths: they take arrays, tensors and plain values.
"""
