"""The model in a web page: a static folder that runs an exported file in the browser, and a look at it on loopback."""
