"""python -m training: fit a net into a model store, measure and convert versions, put them on trial."""

from training.commands import main

if __name__ == "__main__":
    main()
