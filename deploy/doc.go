// Package deploy tests what lies beside it: docker-compose.yml and the image, and the
// manifests for Kubernetes. It is a module of its own so that nobody who uses the connector
// inherits the libraries of Docker and Kubernetes.
package deploy
