"""What the stages of the graph are made of, in rooms (subpackages) that import only downwards:

    commands                 what people call by hand
    own                      a trained run on one's own images
    report                   sentences, the page
    figures                  one file per figure
    training                 how a network is trained
    augmentation             what happens to training images
    network                  the network, its files, GradCAM
    measures                 scores, intervals, comparisons
    images, sources          arrays and labels; where they come from
    wording                  numbers as text
    parameters               what params.yaml may hold, and a stage as a command
    core                     errors, tables

A room's docstring says what belongs in it. In dvc.yaml a stage depends on the rooms that its
imports reach, so a change reruns what can be affected, and no more.
"""
