// Package deploy tests what deploy/ ships: the container file, the compose file and the Helm chart, by the libraries of the tools that
// read them, and by running the binary on what they hand it. It has a module of its own: these libraries need hundreds of others, and
// the versions that they choose must not become those of the end-to-end tests.
package deploy
