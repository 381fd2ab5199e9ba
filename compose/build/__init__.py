"""Building images: `build:` sections and `image build` become requests to the builder, with networks for its steps."""
