import shutil, time
import pytest
from stylex.config import experiment_paths
from tests.devices.conftest import STAGES, TINY
from tests.devices.simulated import simulated_device, NAME
@pytest.mark.parametrize('stage', STAGES)
def test_x(project, stage):
    run, outs = STAGES[stage]
    paths=experiment_paths(project,TINY)
    t=time.time()
    run(project,TINY,'cpu'); t1=time.time()
    with simulated_device() as d:
        run(project, TINY, NAME)
    print(stage, round(t1-t,1), round(time.time()-t1,1))
    for k,v in d.counts().items(): print('  ',k,v)
