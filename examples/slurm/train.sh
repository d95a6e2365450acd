#!/usr/bin/env bash
#SBATCH --job-name=gerund-train
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=01:00:00
# After the array, on the features it made: job=$(sbatch --parsable --export=... extract.sh); sbatch --dependency=afterok:$job train.sh
set -euo pipefail
: "${DATA:?the same as for extract.sh}" "${GERUND_CACHE:?the same as for extract.sh}"
exec gerund train "$DATA" --out "runs/${SLURM_JOB_ID:-here}" "$@"
