package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/mmd"
)

func decodeMmd(path string, m *kantorv1.MaximumMeanDiscrepancy) (losses.Loss, error) {
	d := mmd.Discrepancy{
		Source:     orDefault(m.GetSource(), "source"),
		Target:     orDefault(m.GetTarget(), "target"),
		Blur:       m.Blur,
		ClosedForm: m.GetClosedForm(),
	}
	var err error
	if d.Kernel, err = decodeKernel(path, m.GetKernel(), mmd.Energy); err != nil {
		return nil, err
	}
	if d.Statistic, err = decodeStatistic(path, m.GetStatistic()); err != nil {
		return nil, err
	}
	switch m.GetConvention() {
	case kantorv1.Convention_CONVENTION_UNSPECIFIED, kantorv1.Convention_CONVENTION_MMD2:
		d.Convention = mmd.MMD2
	case kantorv1.Convention_CONVENTION_HALF:
		d.Convention = mmd.Half
	default:
		return nil, badf(path+".convention", "is %d, want a value of kantor.v1.Convention", m.GetConvention())
	}
	return d, nil
}

func decodeStein(path string, m *kantorv1.SteinDiscrepancy) (losses.Loss, error) {
	s := mmd.Stein{Source: orDefault(m.GetSource(), "source"), Blur: m.Blur}
	var err error
	if s.Kernel, err = decodeKernel(path, m.GetKernel(), mmd.IMQ); err != nil {
		return nil, err
	}
	s.Statistic, err = decodeStatistic(path, m.GetStatistic())
	return s, err
}

func decodeKernel(path string, k kantorv1.Kernel, otherwise mmd.Kernel) (mmd.Kernel, error) {
	switch k {
	case kantorv1.Kernel_KERNEL_UNSPECIFIED:
		return otherwise, nil
	case kantorv1.Kernel_KERNEL_ENERGY:
		return mmd.Energy, nil
	case kantorv1.Kernel_KERNEL_GAUSSIAN:
		return mmd.Gaussian, nil
	case kantorv1.Kernel_KERNEL_LAPLACIAN:
		return mmd.Laplacian, nil
	case kantorv1.Kernel_KERNEL_IMQ:
		return mmd.IMQ, nil
	}
	return 0, badf(path+".kernel", "is %d, want a value of kantor.v1.Kernel", k)
}

func decodeStatistic(path string, s kantorv1.Statistic) (mmd.Statistic, error) {
	switch s {
	case kantorv1.Statistic_STATISTIC_UNSPECIFIED, kantorv1.Statistic_STATISTIC_U:
		return mmd.U, nil
	case kantorv1.Statistic_STATISTIC_V:
		return mmd.V, nil
	}
	return 0, badf(path+".statistic", "is %d, want a value of kantor.v1.Statistic", s)
}
