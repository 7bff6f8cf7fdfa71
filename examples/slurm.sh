#!/bin/bash
# Train on 2 machines with 4 GPUs each; put back in line when the time is nearly up, and go on where it was.
#
#     sbatch examples/slurm.sh
#
#SBATCH --job-name=salzoo
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=SIGUSR1@120

# One task a GPU; salzoo takes the number of devices and nodes from SLURM. --ckpt_path auto starts anew the first time,
# and from the last whole epoch after a requeue. The learning rate is taken as given: scale it with the batch yourself.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # since SLURM 22.05 srun does not take it from above
srun salzoo fit deepgaze2.paper \
    --data salicon2017 --root "$DATA" -o "$SCRATCH/runs/deepgaze2.paper" --ckpt_path auto \
    --trainer.precision bf16-mixed --data.batch_size 16 --data.num_workers 8 --trainer.accumulate_grad_batches 1

# The same without SLURM, once on each machine:
#     torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 --no-python \
#         salzoo fit deepgaze2.paper --data salicon2017 --root "$DATA" -o "$SHARED/runs/deepgaze2.paper" --ckpt_path auto
# With --max-restarts also set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: ranks that torch 2.14 restarts otherwise read the
# addresses of those that died.
