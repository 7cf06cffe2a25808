// Package e2e holds the tests that need the whole: real node processes started by the built binary, and real browsers that
// press its buttons. They are in a module of their own so that what drives a browser stays out of the product's
// dependencies.
//
// They run bin/rotunda of this checkout (make build) and Chromium from PATH, or the ones that ROTUNDA_BINARY and
// ROTUNDA_BROWSER name; without either they fail and say so. ROTUNDA_URLS=http://one,http://two,… uses a mesh that runs
// already. Screenshots go to artefacts/e2e.
package e2e
