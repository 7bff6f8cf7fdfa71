"""The page to try the zoo in a browser: `salzoo demo`."""
