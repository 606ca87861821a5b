"""Optimizers and learning-rate schedules, as ``torch.optim``."""

from __future__ import annotations

from autograd_fb.optim import lr_scheduler as lr_scheduler
from autograd_fb.optim.adadelta import Adadelta as Adadelta
from autograd_fb.optim.adagrad import Adagrad as Adagrad
from autograd_fb.optim.adam import Adam as Adam
from autograd_fb.optim.adam import AdamW as AdamW
from autograd_fb.optim.adamax import Adamax as Adamax
from autograd_fb.optim.asgd import ASGD as ASGD
from autograd_fb.optim.lbfgs import LBFGS as LBFGS
from autograd_fb.optim.nadam import NAdam as NAdam
from autograd_fb.optim.optimizer import Optimizer as Optimizer
from autograd_fb.optim.radam import RAdam as RAdam
from autograd_fb.optim.rmsprop import RMSprop as RMSprop
from autograd_fb.optim.rprop import Rprop as Rprop
from autograd_fb.optim.sgd import SGD as SGD
