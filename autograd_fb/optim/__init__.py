"""Optimizers and learning-rate schedules, as ``torch.optim``."""

from __future__ import annotations

from autograd_fb.optim import lr_scheduler as lr_scheduler
from autograd_fb.optim.adagrad import Adagrad as Adagrad
from autograd_fb.optim.adam import Adam as Adam
from autograd_fb.optim.adam import AdamW as AdamW
from autograd_fb.optim.optimizer import Optimizer as Optimizer
from autograd_fb.optim.rmsprop import RMSprop as RMSprop
from autograd_fb.optim.sgd import SGD as SGD
