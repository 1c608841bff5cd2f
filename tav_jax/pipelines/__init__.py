"""Models as functions: noise to video, text to picture, video to noise."""
