"""What runs environment servers: processes of this machine, containers, Kubernetes."""
