#!/usr/bin/env bash
#SBATCH --job-name=gerund-extract
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
# Features of a large data set by an array of tasks: sbatch --export=ALL,DATA=clips.csv,GERUND_CACHE=/shared/cache extract.sh
# Every task runs the same command on the same clips and the same cache on shared storage. Each claims the next video that nobody has,
# so there is no list to divide, fast tasks do more, and a task that dies costs the block in hand: run the array again.
# The shared file system must have working file locks (NFS 4, or Lustre mounted with `flock`).
set -euo pipefail
: "${DATA:?a manifest, a folder or name:path}" "${GERUND_CACHE:?a folder that all nodes share}"
cpus=${SLURM_CPUS_PER_TASK:-2}
export OMP_NUM_THREADS=$cpus
echo "task ${SLURM_ARRAY_TASK_ID:-0} on $(hostname), $cpus cores"
exec gerund extract "$DATA" --workers $(((cpus + 1) / 2)) "$@"
